"""Files of tensors, opened by what is in them: PyTorch's, safetensors, Keras', TensorFlow's, Caffe's and NumPy's.

Whatever a file says, nothing in it is run, and nothing is allocated that it only claims. What the tensors mean is the
business of `layouts`.
"""

from __future__ import annotations

import codecs
import pickle
import re
import tarfile
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from atonce.errors import WeightsError
from atonce.storage import open_tensors
from atonce.text import listing
from atonce.weights.archives import describe_archive, describe_folder, map_member, open_archive, unpack_member
from atonce.weights.caffemodel import is_caffemodel, read_caffemodel
from atonce.weights.checkpoint_files import checkpoint_prefix, files_of_checkpoint
from atonce.weights.hdf5 import read_hdf5
from atonce.weights.numpy_files import NPY_MAGIC, read_npy_dict, read_npz
from atonce.weights.prefixes import without_prefixes
from atonce.weights.registry import EXPECTED
from atonce.weights.tensorflow_checkpoint import (
    is_table,
    read_bundle,
    read_bundle_from,
    read_v1,
)

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_MOST_WRAPPERS = 8

_OTHERS = (
    (b"\x1f\x8b", "compressed by gzip", "unpack it first (tar -xf)"),
    (b"BZh", "compressed by bzip2", "unpack it first"),
    (b"\xfd7zXZ", "compressed by xz", "unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"MATLAB", "a file of MATLAB", "take the same weights from another source"),
    (b"TFL3", "a network of TensorFlow Lite", "give the file that it was converted from"),
    (b"%PDF", "a PDF document", ""),
)
"""(first bytes, or bytes 4..7; what the file is; what to do), for files that people try."""

# Training scripts, pytorch-fcn's among them, save their best score beside the weights, as a NumPy number.
# Making one calls these, which do nothing else; NumPy 1 and 2 call the first by different names.
_MAKE_NUMBER = np.float64(0).__reduce__()[0]
_NUMBERS: list[Any] = [
    (_MAKE_NUMBER, "numpy.core.multiarray.scalar"),
    (_MAKE_NUMBER, "numpy._core.multiarray.scalar"),
    (codecs.encode, "_codecs.encode"),
    np.dtype,
    type(np.dtype(np.float64)),
]


@dataclass(frozen=True)
class WeightsFile:
    """The content of a file of tensors.

    Attributes:
        path: the file; a folder, or the prefix of a checkpoint's files, where it is several.
        tensors: by the names that the file gives them, on the CPU.
        metadata: texts beside them: those of a safetensors file, `arch` of a checkpoint of PyTorch, the types of the
            layers of a .caffemodel, the names of the layers in a file of Keras 3.
        format: what kind of file it is: pytorch, safetensors, hdf5, tensorflow, caffemodel, numpy-npz or numpy-npy.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    format: str = ""


def open_weights(path: Path) -> WeightsFile:
    """Read a file of tensors; its first bytes tell the format, not its name.

    A pickle of PyTorch is read with weights_only=True: tensors, numbers and plain containers, no code; one of NumPy by
    an allow-list of our own. A dict nested under "state_dict", "model_state_dict", "model" or "net" is unwrapped, and
    prefixes are dropped (`prefixes`). A folder may be a TensorFlow SavedModel or hold a checkpoint; for a checkpoint of
    several files stands the prefix, the index or one of the data files.

    Raises:
        WeightsError: missing, of another kind, damaged, with code inside, or without tensors.
    """
    prefix = checkpoint_prefix(path)
    if prefix is not None:
        return _found(path, "tensorflow", read_bundle(prefix))
    if path.is_dir():
        return _found(path, "tensorflow", read_bundle(_bundle_in(path)))
    if not path.is_file():
        raise WeightsError(f"{path} does not exist", EXPECTED)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", EXPECTED) from None
    _refuse_text(path, head)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _found(path, "hdf5", *read_hdf5(path))
    if head[8:9] == b"{":
        tensors, metadata = _read_safetensors(path)
        return _found(path, "safetensors", without_prefixes(path, tensors), metadata)
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(path)
    if head.startswith(b"\x80"):
        return _read_pickle(path)
    if head.startswith(NPY_MAGIC):
        return _found(path, "numpy-npy", read_npy_dict(path))
    if is_table(path):
        return _found(path, "tensorflow", read_v1(path))
    _refuse_others(path, head)
    if _is_tar(path):
        found = f"{path} is in PyTorch's .tar format of 2017, which cannot be read without running code"
        raise WeightsError(found, EXPECTED, "save it anew with a PyTorch of today")
    if is_caffemodel(path):
        return _found(path, "caffemodel", *read_caffemodel(path))
    if path.suffix == ".caffemodel" or ".ckpt" in path.name:
        whole = "a whole .caffemodel" if path.suffix == ".caffemodel" else "a whole checkpoint of TensorFlow or PyTorch"
        raise WeightsError(f"{path} is cut off, or something else than its name says", whole, "fetch it again")
    raise WeightsError(f"{path} is not a weights file", EXPECTED)


def files_of(path: Path) -> list[Path]:
    """The files that hold the weights that a path stands for, in a fixed order: more than one for a checkpoint."""
    prefix = checkpoint_prefix(path)
    if prefix is None:
        if not path.is_dir():
            return [path]
        prefix = _bundle_in(path)
    return files_of_checkpoint(prefix)


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except (MemoryError, OverflowError, ValueError, OSError):
        return False  # a damaged size in a header may ask for any number of bytes


def _found(
    path: Path, kind: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> WeightsFile:
    if not tensors:
        raise WeightsError(f"{path} holds no tensors", "names and tensors")
    return WeightsFile(path, tensors, metadata or {}, kind)


def _bundle_in(folder: Path) -> Path:
    """The prefix of the one TensorFlow checkpoint in a folder; of several, the one that the file `checkpoint` names.

    Raises:
        WeightsError: there is none, or several; the message says what the folder is.
    """
    found = sorted({index.with_suffix("") for index in (*folder.glob("variables/*.index"), *folder.glob("*.index"))})
    if not found:
        raise describe_folder(folder)
    if len(found) == 1:
        return found[0]
    latest = folder / "checkpoint"
    if latest.is_file():
        with latest.open("rb") as file:
            named = re.match(rb'model_checkpoint_path: "([^"]{1,400})"', file.read(1024))
        name = named[1].decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2] if named else ""
        if folder / name in found:
            return folder / name
    names = listing([prefix.name for prefix in found], 3)
    raise WeightsError(f"{folder} holds {len(found)} checkpoints ({names})", "one", f"give it as {found[0]}")


def _read_zip(path: Path) -> WeightsFile:
    """Read what is a zip archive: PyTorch's files, Keras', NumPy's, or a TensorFlow checkpoint that was zipped."""
    with open_archive(path) as archive:
        names = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        if any(PurePosixPath(name).name == "data.pkl" for name in names):
            _refuse_bomb(path, archive)
            return _read_pickle(path)
        keras = names.get("model.weights.h5")
        if keras is not None:
            with unpack_member(path, archive, keras) as content:
                return _found(path, "hdf5", *read_hdf5(path, content))
        indices = [n for n in names if n.endswith(".index") and not PurePosixPath(n).parts[0].startswith("__MACOSX")]
        if len(indices) == 1:
            prefix = indices[0].removesuffix(".index")
            return _found(path, "tensorflow", _read_zipped_bundle(path, archive, prefix))
        if names and all(name.endswith(".npy") for name in names):
            return _found(path, "numpy-npz", read_npz(path, archive))
        raise describe_archive(path, archive)


def _read_zipped_bundle(path: Path, archive: zipfile.ZipFile, prefix: str) -> dict[str, Tensor]:
    folder, _, name = prefix.rpartition("/")

    def open_shard(file: str, needed: int) -> memoryview:
        member = f"{folder}/{file}" if folder else file
        if member not in archive.namelist():
            raise WeightsError(f"{path} lacks {member}", "all files of a TensorFlow checkpoint", "fetch it again")
        return map_member(path, archive, archive.getinfo(member), needed)

    index = f"{prefix}.index"
    content = map_member(path, archive, archive.getinfo(index))
    return read_bundle_from(content, open_shard, prefix=name, path=f"{path}: {index}")


def _refuse_bomb(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse a file of PyTorch whose parts are compressed to next to nothing: PyTorch does not compress."""
    infos = archive.infolist()
    if sum(i.file_size for i in infos) > 4 * path.stat().st_size + (1 << 20):
        raise WeightsError(f"{path} unpacks to far more than it takes", "a file that PyTorch wrote")


def _refuse_others(path: Path, head: bytes) -> None:
    """Refuse well-known kinds of files by their names: to know what it is helps more than to know what it is not."""
    for begins, kind, remedy in _OTHERS:
        if head.startswith(begins) or head[4:8] == begins:
            raise WeightsError(f"{path} is {kind}", EXPECTED, remedy)
    if path.suffix == ".pb":
        remedy = "give the folder, with its variables, or a checkpoint"
        raise WeightsError(f"{path} is a TensorFlow graph", "variables", remedy)
    if path.suffix == ".onnx":
        raise WeightsError(f"{path} is an ONNX graph", EXPECTED, "give the file that it was exported from")
    if re.search(rb"(?:^|\n)\s*layers?\s*\{|^\s*name:\s*\"", head) and head.isascii():
        remedy = "give the .caffemodel that belongs to it"
        raise WeightsError(f"{path} is a network definition of Caffe (prototxt), without weights", EXPECTED, remedy)


def _refuse_text(path: Path, head: bytes) -> None:
    """Downloads that went wrong leave text behind; each kind has its own remedy."""
    if not head:
        raise WeightsError(f"{path} is empty", EXPECTED, "fetch it again")
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer", "the file it points to", "run `git lfs pull`")
    if head.lstrip().startswith(b"<"):
        raise WeightsError(f"{path} is a web page", EXPECTED, "the download was answered with a page; fetch it again")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with open_tensors(path) as file:
            # safe_open is a handle, not a mapping: it has keys() but cannot be iterated over.
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError):
        raise WeightsError(f"{path} is damaged", "a .safetensors file", "fetch it again") from None


def _read_pickle(path: Path) -> WeightsFile:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_NUMBERS):
            # Whatever torch would warn of is an error below.
            warnings.simplefilter("ignore")
            data = torch.load(path, "cpu", weights_only=True)
    except MemoryError:
        raise
    # A damaged pickle can fail in any way at all: every one of them is the file's fault.
    except Exception as error:
        text = str(error).lower()
        if "torchscript" in text:
            raise WeightsError(f"{path} is a TorchScript program", EXPECTED, "save its state_dict() alone") from None
        if isinstance(error, pickle.UnpicklingError) and "global" in text:
            reason = "holds more than tensors, so loading it could run code"
            raise WeightsError(f"{path} {reason}", "a file of tensors", "save its state_dict() alone") from None
        raise WeightsError(f"{path} is damaged or not a weights file", EXPECTED, "fetch it again") from None
    return _state_dict(path, data)


def _state_dict(path: Path, data: Any) -> WeightsFile:
    """Find the tensors in what a pickle held, and `arch`, the name of their network where it is noted."""
    metadata: dict[str, str] = {}
    for _ in range(_MOST_WRAPPERS):
        if not isinstance(data, dict):
            raise WeightsError(f"{path} holds a {type(data).__name__}", "a state dict: names and tensors")
        if isinstance(arch := data.get("arch"), str):
            metadata["arch"] = arch
        inner = next((data[wrapper] for wrapper in _WRAPPERS if isinstance(data.get(wrapper), dict)), None)
        if inner is None:
            break
        data = inner
    else:
        raise WeightsError(f"{path} nests dicts in dicts", "a state dict: names and tensors")
    tensors = {str(key): value for key, value in data.items() if isinstance(value, Tensor)}
    for key, tensor in tensors.items():
        # A view may claim any size over a few bytes, and others hold no numbers at all.
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise WeightsError(f"{path}: {key} is no plain tensor", "a state dict: names and tensors")
    return _found(path, "pytorch", without_prefixes(path, tensors), metadata)
