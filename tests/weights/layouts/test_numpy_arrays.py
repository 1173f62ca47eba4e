"""NumPy's files of VGG-16 give the activations of the network that they come from: channels last, RGB or BGR."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from atonce.errors import WeightsError
from atonce.weights import read_weights
from tests.weights.pattern import CHANNELS, HEAD, Array, bias, fc6, fc7, head_bias, kernel
from tests.weights.reproduction import assert_reproduces

Layers = dict[str, list[Array]]

_PythonPickler: Any = pickle._Pickler
"""The pickler that is written in Python, whose instructions can be changed."""


def layers(*, blue_first: bool) -> Layers:
    """conv1_1 -> [weights, bias], as the network of the fixtures has them; fc6 dense over (H, W, C)."""
    found = {name: [kernel(name), bias(name)] for name in CHANNELS}
    if blue_first:
        found["conv1_1"][0] = np.ascontiguousarray(kernel("conv1_1")[:, :, ::-1])
    found["fc6"] = [fc6().reshape(-1, HEAD), head_bias()]
    found["fc7"] = [fc7(), head_bias()]
    return found


class Python2Pickler(_PythonPickler):  # type: ignore[misc]
    """Writes what Python 2 wrote: its texts are bytes, and so are the arrays'."""

    dispatch: ClassVar = dict(_PythonPickler.dispatch)

    def save_text(self, value: str | bytes) -> None:
        data = value if isinstance(value, bytes) else value.encode("ascii")
        size = bytes([len(data)]) if len(data) < 256 else len(data).to_bytes(4, "little")
        self.write((pickle.SHORT_BINSTRING if len(data) < 256 else pickle.BINSTRING) + size + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_text


def npy_of(content: object, pickler: Callable[[Any], Any] | None = None, protocol: int = 2) -> bytes:
    """A .npy of one object, as np.save writes it."""
    array = np.array(None, object)
    array[()] = content
    if pickler is None:
        out = io.BytesIO()
        np.save(out, array, allow_pickle=True)
        return out.getvalue()
    out, body = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|O", "fortran_order": False, "shape": ()})
    pickler(body).dump(array)
    return out.getvalue() + body.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def python2_npy(content: object) -> bytes:
    return npy_of(content, lambda out: Python2Pickler(out, 2))


def test_the_npz_is_over_rgb(tmp_path: Path, expected: dict[str, Tensor]) -> None:
    parts = {
        f"{name}_{part}": array
        for name, both in layers(blue_first=False).items()
        for part, array in zip("Wb", both, strict=True)
    }
    parts |= {"fc8_W": np.zeros((HEAD, 10), np.float32), "fc8_b": np.zeros(10, np.float32), "steps": np.array(5)}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "vgg16_weights.npz", **parts)  # type: ignore[arg-type]
        report = assert_reproduces(tmp_path / "vgg16_weights.npz", expected, "vgg16.caffemodel")
        assert report.layout == "numpy-npz" and report.fresh[0] == "score_fc7"


@pytest.mark.parametrize("form", ["Python 2", "Python 3", "dicts", "Fortran"])
def test_the_pickled_dict_is_over_bgr(form: str, tmp_path: Path, expected: dict[str, Tensor]) -> None:
    path, content = tmp_path / "vgg16.npy", layers(blue_first=True)
    if form == "Python 2":
        path.write_bytes(python2_npy(content))
        theirs = np.load(path, allow_pickle=True, encoding="latin1").item()
        assert all(np.array_equal(theirs[k][0], content[k][0]) for k in content), "NumPy reads it otherwise"
    else:
        some: Any = content
        if form == "dicts":
            some = {name: {"weights": w, "biases": b} for name, (w, b) in content.items()}
        elif form == "Fortran":
            some = {name: [np.asfortranarray(w), b] for name, (w, b) in content.items()}
        path.write_bytes(npy_of(some))
    report = assert_reproduces(path, expected, "vgg16.caffemodel")
    assert report.layout == "numpy-npy" and report.fresh[0] == "score_fc7"


def test_other_precisions_are_numbers_too(tmp_path: Path) -> None:
    content = {name: [w.astype(np.float64), b.astype(np.float16)] for name, (w, b) in layers(blue_first=True).items()}
    (tmp_path / "v.npy").write_bytes(npy_of(content))
    imported = read_weights(tmp_path / "v.npy")
    assert all(tensor.dtype == torch.float32 for tensor in imported.tensors.values())


def test_what_is_something_else_is_said(tmp_path: Path) -> None:
    good = layers(blue_first=True)
    for content, said in (
        (npy_of([1, 2]), "holds no dict; expected a dict of layers and their arrays"),
        (npy_of({"conv1_1": 5}), "'conv1_1' is no layer"),
        (npy_of({"conv1_1": ["a", "b"]}), "conv1_1 holds no arrays of numbers"),
        (npy_of({"conv1_1": [a.astype(">f4") for a in good["conv1_1"]]}), "conv1_1 holds no arrays of numbers"),
        (
            npy_of({k: v for k, v in good.items() if k != "conv2_2"}),
            r"lacks conv2_2.weight, conv2_2.bias; expected the",
        ),
        (npy_of(good | {"conv3_4": good["conv3_3"]}), "holds VGG-19"),
        (npy_of({"first": good["conv1_1"]}), r"unknown layout: 2 tensors \(first.weight, first.bias, ...\)"),
    ):
        (tmp_path / "v.npy").write_bytes(content)
        with pytest.raises(WeightsError, match=said):
            read_weights(tmp_path / "v.npy")
    np.save(tmp_path / "one.npy", np.zeros((2, 3)))
    with pytest.raises(WeightsError, match=r"holds one array of shape \(2, 3\)"):
        read_weights(tmp_path / "one.npy")
    np.savez(tmp_path / "o.npz", conv1_1_W=np.array([{}], dtype=object))
    with pytest.raises(WeightsError, match=r"conv1_1_W.npy is a pickled object; expected arrays of numbers"):
        read_weights(tmp_path / "o.npz")
