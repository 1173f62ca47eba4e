"""Files that are not what their names say. Nothing in them is ever run."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from atonce.errors import WeightsError
from atonce.weights import read_weights
from atonce.weights.tensor_files import open_weights


class Payload:
    """Pickled, it is a call of os.system."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


MALICIOUS = {
    "zip": "holds more than tensors, so loading it could run code",
    "legacy": "holds more than tensors, so loading it could run code",
    "bare-2": "expected",
    "bare-4": "expected",
    "bare-0": "expected",
    "tar": "expected",
}
"""The form of the file, and what is said of it."""


@pytest.mark.parametrize("form", MALICIOUS)
def test_malicious_pickle_does_not_run(tmp_path: Path, form: str) -> None:
    path, marker = tmp_path / "weights.pth", tmp_path / "ran"
    evil = {"features.0.weight": torch.zeros(2), "extra": Payload(marker)}
    if form in ("zip", "legacy"):
        torch.save(evil, path, _use_new_zipfile_serialization=form == "zip")
    elif form == "tar":
        content = pickle.dumps(Payload(marker))
        with tarfile.open(path, "w") as archive:
            for name in ("sys_info", "pickle", "storages", "tensors"):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        path.write_bytes(pickle.dumps(Payload(marker), int(form[-1])))
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    assert not marker.exists()
    assert MALICIOUS[form] in str(caught.value)


def test_the_payload_of_these_tests_is_a_real_one(tmp_path: Path) -> None:
    for protocol in (0, 2, 4):
        marker = tmp_path / f"ran-{protocol}"
        pickle.loads(pickle.dumps(Payload(marker), protocol))
        assert marker.exists()


def test_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "m.pth")
    with pytest.raises(WeightsError, match=r"could run code.*save its state_dict\(\) alone"):
        open_weights(tmp_path / "m.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoint_of_a_training_script(tmp_path: Path, zipped: bool) -> None:
    """pytorch-fcn's: epoch, name, optimiser, best score as a NumPy number, and the weights."""
    weight = torch.randn(3, 2)
    data = {"epoch": 3, "arch": "FCN8s", "best_mean_iu": np.float64(0.5), "model_state_dict": {"module.a": weight}}
    torch.save(data, tmp_path / "model_best.pth.tar", _use_new_zipfile_serialization=zipped)
    assert torch.equal(open_weights(tmp_path / "model_best.pth.tar").tensors["a"], weight)


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated(tmp_path: Path, zipped: bool) -> None:
    torch.save({"a": torch.zeros(5000)}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match=r"damaged.*fetch it again"):
        open_weights(tmp_path / "a.pth")


CONTENTS = {
    "is a web page": b"\n<!DOCTYPE html><html>404",
    "is not a weights file": b"hello\n" * 100,
    "is empty": b"",
    "is a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "is damaged; expected a .safetensors": b"\x10\0\0\0\0\0\0\0{not json at all",
    "is damaged; expected an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(500),
    "is damaged or not": b"\x80\x02garbage",
}


@pytest.mark.parametrize("said", CONTENTS)
def test_other_contents(tmp_path: Path, said: str) -> None:
    (tmp_path / "w.pth").write_bytes(CONTENTS[said])
    with pytest.raises(WeightsError, match=said) as caught:
        open_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_other_things(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.pth", "w") as archive:
        archive.writestr("a", "b")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    torch.save({"a": 1}, tmp_path / "numbers.pth")
    torch.save({"conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, tmp_path / "resnet.pth")
    cases: dict[str | Path, str] = {
        tmp_path: "is a folder",
        tmp_path / "gone.pth": "does not exist",
        tmp_path / "z.pth": r"is a zip archive of 1 file \(a\)",
        tmp_path / "list.pth": "holds a list",
        tmp_path / "numbers.pth": "holds no tensors",
        tmp_path / "resnet.pth": r"unknown layout: 2 tensors \(conv1.weight, fc.bias, ...\); expected one of torchvis",
        "vgg16-imagenet1k-v2": "no weights 'vgg16-imagenet1k-v2'.*did you mean 'vgg16-imagenet1k-v1'",
    }
    for path, said in cases.items():
        with pytest.raises(WeightsError, match=said):
            read_weights(path)
