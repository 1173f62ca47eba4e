"""Last words of a command that is stopped, runs out of memory, or meets a path that it may not enter."""

from __future__ import annotations

import errno
import re
import sys

from atonce.errors import one_line
from atonce.process_group import is_launched
from atonce.text import words_of

_OUT_OF_MEMORY = re.compile(
    "DefaultCPUAllocator|[Cc]annot allocate memory|bad_alloc|could not (create a memory|(create|execute) a primitive$)"
)
"""Words of torch, the system, C++ and oneDNN when the computer's memory is full."""

_LOST_PROCESS = re.compile(r"gloo/transport|Connection closed by peer|Connection reset by peer")
"""Words of torch.distributed when a process that others wait for is gone."""

_KEPT = {
    "predict": "what is finished is kept; the same command goes on with the rest",
    "export": "nothing was written",
    "submit": "nothing was written",
    "evaluate": "nothing was scored",
    "doctor": "the data are as they were",
    "streets": "the scenes are not complete; the same command draws them anew",
    "demo": "the same command goes on",
    "weights": "what has been downloaded is kept; the same command goes on with it",
}
"""Remains, by command, when it is stopped before its end. Training tells more, see `cli/train.py`."""

_SMALLER_TRAINING = "lower train.batch_size or data.crop, raise train.accumulate"
_SMALLER_PICTURES = "give smaller pictures, or end other programs"
_REMEDIES = {
    "train": _SMALLER_TRAINING,
    "ablate": _SMALLER_TRAINING,
    "ablate-worker": _SMALLER_TRAINING,
    "export": "end other programs, or export on a machine with more memory",
    "doctor": "lower --workers, or end other programs",
    "streets": "lower --height and --width, or end other programs",
    "serve": "lower --max-megapixels or --queue",
    "demo": "end other programs",
}
_ON_GPU = {
    "predict": "add --device cpu, or give smaller pictures",
    "evaluate": "add --device cpu",
    "submit": "add --device cpu",
    "serve": "lower --max-megapixels, or add --device cpu",
}
_ON_CPU_TOO = dict.fromkeys(("train", "ablate", "ablate-worker"), ", lower data.cache_mib and data.workers")


def command_name() -> str:
    """Return the command of this call: the first word that is no option."""
    return next((word for word in sys.argv[1:] if not word.startswith("-")), "")


def stopped_line() -> str:
    """Say that the command was stopped, and what is left of its work."""
    kept = _KEPT.get(command_name())
    return f"stopped; {kept}" if kept else "stopped"


def out_of_memory_line(error: BaseException) -> str | None:
    """Say whose memory is full and what to do about it, where that is what an error is about; else None."""
    text = str(error)
    on_gpu = type(error).__name__ == "OutOfMemoryError" or "CUDA out of memory" in text or "MPS backend out of" in text
    on_cpu = isinstance(error, MemoryError) or (
        isinstance(error, (RuntimeError, OSError)) and _OUT_OF_MEMORY.search(text)
    )
    if not (on_gpu or on_cpu):
        return None
    command = command_name()
    if on_gpu:
        return f"the GPU's memory is full; {_ON_GPU.get(command) or _REMEDIES.get(command, _SMALLER_PICTURES)}"
    asked = re.search(r"tried to allocate (\d+) bytes", text)
    more = f" ({int(asked[1]) / 1e6:,.0f} MB more were asked for)" if asked else ""
    remedy = _REMEDIES.get(command, _SMALLER_PICTURES) + _ON_CPU_TOO.get(command, "")
    return f"the computer's memory is full{more}; {remedy}"


def lost_process_line(error: BaseException) -> str | None:
    """Say what is left when another process of this launch, or its launcher, is gone or was never there, where that is
    what an error is about; else None.

    What the launcher says of the process that died first stands beside it.
    """
    if not is_launched():
        return None
    of_network = type(error).__name__ in ("DistNetworkError", "DistStoreError")
    if not of_network and not (type(error) is RuntimeError and _LOST_PROCESS.search(str(error))):
        return None
    reason = words_of(error, 100)
    kept = "the state that was saved last is kept; launch it again with --resume"
    left = kept if command_name() == "train" else _KEPT.get(command_name(), "launch it again")
    return f"the other processes of this launch, or its launcher, cannot be reached ({reason}); {left}"


def unreachable_line(error: BaseException) -> str | None:
    """Say which path cannot be opened, where the system has refused one that a user has named or has in a folder."""
    refused = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP)
    if not isinstance(error, OSError) or error.errno not in refused or error.filename is None:
        return None
    name = error.filename if isinstance(error.filename, str) else repr(error.filename)
    shown = one_line(name if len(name) <= 300 else f"{name[:297]}...")
    return f"{shown} cannot be opened: {error.strerror}; expected a file or folder that you may read and enter"
