"""Forged and cut off files of every format: one line, exit code 2, in bounded memory and time; nothing in them is run."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from atonce.errors import WeightsError
from atonce.model.vgg import TRUNK_LAYERS
from atonce.model_file import read_metadata
from atonce.weights import read_weights
from atonce.weights.tensor_files import open_weights
from tests.systems import needs_linux_memory
from tests.tiny import ENVIRONMENT
from tests.weights.conftest import ToolFile
from tests.weights.layouts.test_numpy_arrays import npy_of
from tests.weights.tables import bundle, entry, field, header, table, v1_checkpoint, varint

PETABYTE = 1 << 50

Forger = Callable[[Path], Path]
"""Writes a file into a folder; returns what is to be opened."""


class Payload:
    """Pickled, it is a call of os.system."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


# --- the forgeries -----------------------------------------------------------------------------------------------------


def index_of(
    entries: dict[str, bytes], *, head: bytes | None = None, data: bytes = bytes(64), compression: int = 0
) -> Forger:
    """A V2 checkpoint with given entries, over 64 bytes of data."""

    def write(folder: Path) -> Path:
        pairs = {b"": header() if head is None else head} | {k.encode(): v for k, v in sorted(entries.items())}
        (folder / "m.ckpt.index").write_bytes(table(pairs, compression=compression))
        (folder / "m.ckpt.data-00000-of-00001").write_bytes(data)
        return folder / "m.ckpt"

    return write


def file_of(content: bytes, name: str = "weights.bin") -> Forger:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def zip_of(members: dict[str, bytes], name: str = "w.zip", compression: int = zipfile.ZIP_DEFLATED) -> Forger:
    def write(folder: Path) -> Path:
        with zipfile.ZipFile(folder / name, "w", compression) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return folder / name

    return write


def zeros_zip(member: str, mebibytes: int, extra: dict[str, bytes], name: str = "w.zip") -> Forger:
    """A zip bomb: zeros, a thousandth of their size on the disk."""

    def write(folder: Path) -> Path:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open(member, "w", force_zip64=True) as out:
                for _ in range(mebibytes):
                    out.write(bytes(1 << 20))
            for other, content in extra.items():
                archive.writestr(other, content)
        return folder / name

    return write


def lying_zip(folder: Path) -> Path:
    """An archive whose directory promises a petabyte of a member."""
    path = zip_of({"a.npy": b"x" * 100}, compression=zipfile.ZIP_STORED)(folder)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 20 : at + 28] = struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0)
    path.write_bytes(content)
    return path


def npy(shape: str, descr: str = "'<f4'", values: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + values


def blob(*fields: bytes) -> bytes:
    return field(100, field(1, b"conv1_1") + field(2, b"Convolution") + field(7, b"".join(fields)))


def deep_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "w.h5", "w") as file:
        group = file
        for _ in range(300):
            group = group.create_group("g")
    return folder / "w.h5"


def crowded_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "w.h5", "w", libver="latest") as file:
        for i in range(10_001):
            file.create_group(str(i))
    return folder / "w.h5"


def huge_hdf5(folder: Path) -> Path:
    """Arrays that were never written: HDF5 fills them in as they are read."""
    with h5py.File(folder / "w.h5", "w") as file:
        for i in range(100):
            file.create_dataset(f"a{i}", (1 << 27,), np.float32, chunks=(1 << 20,))
    return folder / "w.h5"


def torch_views(folder: Path) -> Path:
    """A tensor that claims a petabyte over four bytes: a view with a stride of zero."""
    torch.save({"features.0.weight": torch.zeros(1).expand(1 << 20, 1 << 28)}, folder / "w.pth")
    return folder / "w.pth"


def torch_bomb(folder: Path) -> Path:
    """PyTorch stores; this archive holds a gibibyte of zeros, compressed."""
    saved = io.BytesIO()
    torch.save({"features.0.weight": torch.zeros(4)}, saved)
    with zipfile.ZipFile(saved) as source:
        members = {info.filename: source.read(info) for info in source.infolist()}
    return zeros_zip(next(n for n in members if n.endswith("data/0")) + "x", 1024, members, "w.pth")(folder)


def pickled(*instructions: bytes) -> Forger:
    """A .npy with a pickle of the given instructions."""
    return file_of(npy("()", "'|O'", b"\x80\x04" + b"".join(instructions) + b"."))


def cut(name: str, share: float = 0.5) -> Callable[[ToolFile], Forger]:
    """The beginning of a tool's file."""

    def of(tool_file: ToolFile) -> Forger:
        content = tool_file(name).read_bytes()
        return file_of(content[: int(len(content) * share)], name)

    return of


GOOD = field(1, 1)
TEXT = {b"a": b"1"}

FORGERIES: dict[str, tuple[Forger, str]] = {
    # TensorFlow, V2
    "an index of a petabyte": (index_of({"a": entry((1 << 24, 1 << 24), 0, PETABYTE, 0)}), "a variable of shape"),
    "a size that is not the shape's": (index_of({"a": entry((4, 4), 0, 60, 0)}), r"shape \(4, 4\) in 60 bytes"),
    "an offset of a petabyte": (index_of({"a": entry((4,), PETABYTE, 16, 0)}), "ends at 64; expected"),
    "a wrong checksum": (index_of({"a": entry((4,), 0, 16, 5)}), "the checksum of a is wrong"),
    "shard 7 of 1": (index_of({"a": entry((4,), 0, 16, 0, shard=7)}), "a variable in shard 7 of 1"),
    "a billion shards": (index_of({"a": entry((4,), 0, 16, 0)}, head=header(1 << 30)), "1073741824 data files"),
    "no header": (index_of({"a": entry((4,), 0, 16, 0)}, head=b"\xff"), "an integer beyond the end"),
    "a big-endian machine": (index_of({}, head=GOOD + field(2, 1)), "a big-endian machine"),
    "a partitioned variable": (index_of({"a": entry((4,), 0, 16, 0) + field(7, b"")}), "partitioned"),
    "a thousand dimensions": (index_of({"a": entry((1,) * 1000, 0, 4, 0)}), "1000 dimensions"),
    "compressed blocks": (index_of({}, compression=1), "compressed by Snappy"),
    "no variables": (index_of({}), "holds no tensors"),
    "an empty data file": (index_of({"a": entry((4,), 0, 16, 0)}, data=b""), "is empty"),
    # TensorFlow, V1
    "V1 of a petabyte": (file_of(v1_checkpoint({"a": ((1 << 24, 1 << 24), bytes(8))}), "m.ckpt"), "in 8 bytes"),
    "V1 in parts": (file_of(v1_checkpoint({"a": ((2,), bytes(8))}, field(1, field(2, 1))), "m.ckpt"), "several parts"),
    "V1 of garbage": (file_of(table({b"": b"\xff" * 20}), "m.ckpt"), "more than 64 bits"),
    "V1 cut off": (file_of(v1_checkpoint({"a": ((2,), bytes(8))})[:-20], "m.ckpt"), "is cut off"),
    # a zipped checkpoint
    "a data file of 4 GiB, zipped": (
        zip_of(
            {"v/m.index": table({b"": header(), b"a": entry((4,), 4 << 30, 16, 0)}), "v/m.data-00000-of-00001": b""}
        ),
        "unpacks to 4096 MiB",
    ),
    "a data file that is not in the zip": (
        zip_of({"v/m.index": table({b"": header(), b"a": entry((4,), 0, 16, 0)})}),
        "lacks v/m.data-00000-of-00001",
    ),
    "an index that unpacks to 3 GiB": (zeros_zip("v/m.index", 3 << 10, {}), "unpacks to 3072 MiB"),
    "an index of 100 MiB": (zeros_zip("v/m.index", 100, {}), "takes 100 MiB"),
    # zips
    "a member that leads out": (
        zip_of({"../../evil.npy": npy("(1,)", values=bytes(4))}),
        "leads out of it: ../../evil",
    ),
    "an absolute member": (zip_of({"/etc/evil.index": b""}), "leads out of it: /etc/evil"),
    "a member of Windows that leads out": (zip_of({"..\\evil.index": b""}), "leads out of it"),
    "a hundred thousand members": (zip_of({f"{i}.npy": b"" for i in range(20_000)}), "of 20000 files"),
    "a directory that lies": (lying_zip, "is not an array of NumPy"),
    "an Office document": (
        zip_of({"[Content_Types].xml": b"", "word/document.xml": b""}),
        "a document of Microsoft Office",
    ),
    "a zip of pictures": (zip_of({f"{i}.png": b"" for i in range(9)}), "is a zip archive of 9 files"),
    "a zip of weights": (zip_of({"vgg16/vgg16.pth": b""}), "with vgg16/vgg16.pth in it; expected .*unpack it"),
    "a SavedModel of a graph alone": (zip_of({"vgg/saved_model.pb": b""}), "a TensorFlow SavedModel without variables"),
    # Keras
    "a .keras of garbage": (zip_of({"model.weights.h5": b"x" * 99, "config.json": b""}, "v.keras"), "is damaged"),
    "a .keras that unpacks to 3 GiB": (zeros_zip("model.weights.h5", 3 << 10, {}, "v.keras"), "unpacks to 3072 MiB"),
    "HDF5 of groups in groups": (deep_hdf5, "holds groups 50 deep; expected an HDF5 file of Keras"),
    "HDF5 of a crowd": (crowded_hdf5, "holds more than 10000 members"),
    "HDF5 of 51 GiB": (huge_hdf5, "claims to hold more than 2048 MiB"),
    # NumPy
    "an .npz of a petabyte": (zip_of({"a.npy": npy("(1073741824, 1073741824)")}, "v.npz"), "more than 1024 MiB"),
    "an .npz that ends early": (zip_of({"a.npy": npy("(100,)", values=b"abc")}, "v.npz"), "ends after 3 of 400 bytes"),
    "an .npz bomb": (zeros_zip("b.npy", 2 << 10, {"a.npy": npy("(4,)", values=bytes(16))}, "v.npz"), "is not an array"),
    "an .npz with a long header": (zip_of({"a.npy": npy("(" + "1," * 30_000 + ")")}, "v.npz"), "a header that cannot"),
    "an .npz with code in its header": (
        zip_of({"a.npy": npy("__import__('os').system('touch ran')")}, "v.npz"),
        "a header that cannot be read",
    ),
    "a .npy of a petabyte": (
        file_of(
            npy_of({"a": [np.zeros(4), np.zeros(4)]}).replace(b"K\x04\x85", b"\x8a\x07" + bytes(6) + b"\x04\x85", 1)
        ),
        "has the shape|is damaged",
    ),
    "os.system": (file_of(npy_of(Payload())), r"holds more than arrays, .*\(it names posix.system\)"),
    "os.system, protocol 0": (
        file_of(npy_of(Payload(), lambda out: pickle.Pickler(out, 0))),
        r"holds more than arrays, .*\(it names posix.system\)",
    ),
    "builtins.eval": (pickled(b"\x8c\x08builtins\x8c\x04eval\x93"), "it names builtins.eval"),
    "a function of NumPy": (pickled(b"cnumpy\nload\n"), "it names numpy.load"),
    "a dotted name": (
        pickled(b"\x8c\x05numpy\x8c\x15ndarray.__class__.mro\x93"),
        "it names numpy.ndarray.__class__.mro",
    ),
    "a call of an array class": (pickled(b"cnumpy\nndarray\n", b")", b"R"), "it calls something else"),
    "a call of a text": (pickled(b"\x8c\x01a", b")", b"R"), "it calls something else"),
    "an instance": (pickled(b"(cnumpy\ndtype\n", b"o"), "the instruction OBJ"),
    "a new object": (pickled(b"cnumpy\nndarray\n)", b"\x81"), "the instruction NEWOBJ"),
    "a persistent object": (pickled(b"Pname\n"), "the instruction PERSID"),
    "an extension": (pickled(b"\x82\x01"), "the instruction EXT1"),
    "bytes of a petabyte": (pickled(b"\x8e" + struct.pack("<Q", PETABYTE) + b"x"), "is damaged"),
    "a memo at four billion": (pickled(b"Nr\xff\xff\xff\xff", b"j\xff\xff\xff\xff"), "holds no dict"),
    "a list in itself": (pickled(b"]\x94h\0a"), "holds no dict"),
    "a dict in itself": (pickled(b"}\x94\x8c\x01ah\0s"), "holds no dict"),
    "a state without an array": (pickled(b"N)b"), "is damaged"),
    "an empty stack": (pickled(b"0"), "the instruction POP"),
    "a pickle that does not end": (file_of(npy("()", "'|O'", b"\x80\x04]")), "is damaged"),
    "the same text as bytes a million times": (
        pickled(
            b"c_codecs\nencode\n\x94",
            b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"\x94",
            b"\x8c\x06latin1\x94",
            b"h\0h\1h\2\x86R" * 10_000,
        ),
        "is damaged",
    ),
    # Caffe
    "a blob of a petabyte": (
        file_of(blob(field(7, field(1, varint(1 << 25) + varint(1 << 25))), field(5, bytes(8)))),
        "a blob of shape",
    ),
    "a blob of four petabytes": (
        file_of(blob(field(1, 1 << 30), field(2, 1 << 20), field(5, bytes(8)))),
        "a blob of shape",
    ),
    "a blob without numbers": (file_of(blob(field(7, field(1, varint(0))))), "in 0 bytes"),
    "a blob of many dimensions": (
        file_of(blob(field(7, field(1, varint(1) * 1000)), field(5, bytes(4)))),
        "more than 32 integers",
    ),
    "a layer within a layer within ...": (file_of(blob(field(100, field(100, field(100, b""))))), "in 0 bytes"),
    "a caffemodel cut off": (file_of(blob(field(5, bytes(400)))[:-9], "v.caffemodel"), "is cut off"),
    "Caffe of 2013": (
        file_of(field(2, field(4, b"a") + field(1, field(2, b"conv")))),
        "not a weights file|format of 2013",
    ),
    # PyTorch
    "a view of a petabyte": (torch_views, "features.0.weight is no plain tensor"),
    "a PyTorch bomb": (torch_bomb, "unpacks to far more than it takes"),
    # files of other kinds
    "a tar.gz": (
        file_of(b"\x1f\x8b\x08" + bytes(40), "vgg_16_2016_08_28.tar.gz"),
        "is compressed by gzip; .*unpack it",
    ),
    "MATLAB": (
        file_of(b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "imagenet-vgg-verydeep-16.mat"),
        "is a file of MATLAB",
    ),
    "ONNX": (file_of(b"\x08\x07\x12\x07pytorch", "vgg16.onnx"), "is an ONNX graph"),
    "TensorFlow Lite": (file_of(b"\x1c\0\0\0TFL3" + bytes(40)), "a network of TensorFlow Lite"),
}
"""Kind -> (forger, what is said)."""

CUT = {
    "vgg.zip": "is a damaged zip archive, or one that is cut off",
    "vgg16.keras": "is a damaged zip archive, or one that is cut off",
    "vgg16.weights.h5": "is damaged",
    "slim-v1.ckpt": "is cut off",
    "slim-v2.ckpt.index": "does not end as a table does",
    "timm.safetensors": "is damaged",
    "vgg16.caffemodel": "is cut off",
    "vgg16-v1.caffemodel": "is cut off",
}


def refusal(path: Path) -> str:
    """What is said of a file, on one line of bearable length, soon."""
    began = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        open_weights(path)
    assert time.monotonic() - began < 20
    said = caught.value.for_command_line()
    assert "\n" not in said and len(said) < 700, said
    return said


@pytest.mark.parametrize("kind", FORGERIES)
def test_forged(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    forge, said = FORGERIES[kind]
    path = forge(tmp_path)
    before = {p.relative_to(tmp_path) for p in tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    message = refusal(path)
    assert re.search(said, message), message
    # Nothing ran, and nothing was unpacked to a name that a stranger chose.
    assert {p.relative_to(tmp_path) for p in tmp_path.rglob("*")} == before
    assert not (tmp_path.parent / "evil.npy").exists()


@pytest.mark.parametrize("name", CUT)
def test_cut_off(name: str, tool_file: ToolFile, tmp_path: Path) -> None:
    assert CUT[name] in refusal(cut(name)(tool_file)(tmp_path))


def test_one_flipped_bit_of_the_data_is_found(tool_file: ToolFile, tmp_path: Path) -> None:
    """The SavedModel's numbers have a checksum; zip's own is that of the whole member."""
    with zipfile.ZipFile(tool_file("vgg.zip")) as archive:
        archive.extractall(tmp_path)
    data = tmp_path / "vgg" / "variables" / "variables.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 3] ^= 1
    data.write_bytes(content)
    assert "the checksum of conv" in refusal(tmp_path / "vgg")


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"architecture":' * 100_000])
def test_a_description_within_a_description_within_ends(nested: str, tmp_path: Path) -> None:
    """JSON's reader recurses; what it gives up on is the file's fault."""
    normalise = {"normalise.mean": torch.zeros(1, 3, 1, 1), "normalise.std": torch.ones(1, 3, 1, 1)}
    tensors = {key: torch.zeros(1) for name in TRUNK_LAYERS for key in (f"trunk.{name}.weight", f"trunk.{name}.bias")}
    save_file(tensors | normalise, tmp_path / "m.safetensors", {"atonce": nested})
    with pytest.raises(WeightsError, match="describes a network unknown here"):
        read_weights(tmp_path / "m.safetensors")
    with pytest.raises(WeightsError, match="describes itself in broken JSON"):
        read_metadata(tmp_path / "m.safetensors")


def test_a_checkpoint_of_tensorflow_2_says_what_to_do(tmp_path: Path) -> None:
    """What tf.saved_model.save and tf.train.Checkpoint write of a Keras model."""
    names = ("_layers/1/_kernel", "model/layer_with_weights-0/kernel")
    path = bundle(
        tmp_path / "ckpt-1", {f"{name}/.ATTRIBUTES/VARIABLE_VALUE": torch.zeros(3, 3, 3, 64) for name in names}
    )
    with pytest.raises(
        WeightsError, match=r"is a checkpoint of TensorFlow 2, .*model.save_weights\('vgg16.weights.h5'\)"
    ):
        read_weights(path)


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    path = zip_of({"a.npy": npy("(1,)", values=bytes(4))})(tmp_path)
    content = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + at] |= 1
    path.write_bytes(content)
    assert "a password is needed" in refusal(path)


BOUNDED = (
    "an index of a petabyte", "V1 of a petabyte", "an index of 100 MiB", "an index that unpacks to 3 GiB", "an .npz bomb",
    "HDF5 of 51 GiB", "an .npz of a petabyte", "bytes of a petabyte", "a memo at four billion",
    "the same text as bytes a million times", "a blob of a petabyte", "a view of a petabyte", "a PyTorch bomb",
    "a .keras that unpacks to 3 GiB", "os.system",
)  # fmt: skip


@needs_linux_memory
def test_the_command_refuses_each_in_one_line_and_bounded_memory(tmp_path: Path) -> None:
    """`atonce weights verify` on each, in one process that would die if it touched more than torch and 400 MB."""
    paths = {}
    for number, kind in enumerate(BOUNDED):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths[kind] = FORGERIES[kind][0](folder)
    script = tmp_path / "verify.py"
    script.write_text(
        "import resource, sys, torch, h5py\n"
        "from atonce.cli import main\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    sys.argv = ['atonce', 'weights', 'verify', path]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as done:\n"
        "        print('code', done.code)\n"
        "print('kilobytes', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    ran = subprocess.run(
        [sys.executable, script, *map(str, paths.values())],
        capture_output=True, text=True, timeout=300, env=ENVIRONMENT, cwd=tmp_path,
    )  # fmt: skip
    assert ran.stdout.count("code 2\n") == len(paths), ran
    assert ran.stderr.count("\n") == len(paths) and "Traceback" not in ran.stderr, ran.stderr
    assert int(ran.stdout.split("kilobytes")[1]) < 400_000, ran.stdout
    assert not (tmp_path / "ran").exists()
