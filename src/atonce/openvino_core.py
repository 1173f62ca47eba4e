"""OpenVINO's core: one for a process, kept as long as the process lives.

Whatever `openvino.Core` is first to compile for the CPU gives the thread it does so in a stack for signals of its own,
and unmaps that when the last thing made by it goes: in another thread, or after another core has done the same, the
thread is left with a stack that is not there, and the next signal, such as Ctrl-C, ends the process by SIGSEGV
(openvinotoolkit/openvino, pull request 11894; seen with 2026.4.1). What never goes leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from atonce.extras import require_extra


def openvino_core(what: str) -> Any:
    """Return the process's `openvino.Core`.

    Args:
        what: the thing that needs it, for the message.

    Raises:
        UserError: OpenVINO is not installed; the message says how to install it.
    """
    require_extra("openvino", what, "export")
    return _core()


@lru_cache(maxsize=1)
def _core() -> Any:
    return import_module("openvino").Core()


@contextmanager
def one_core_for_all() -> Iterator[None]:
    """Have other libraries, which make a core for each of their models, get the process's one meanwhile.

    Without OpenVINO there is nothing to share: NNCF quantizes ONNX graphs without it.
    """
    if find_spec("openvino") is None:
        yield
        return
    import openvino

    core, openvino.Core = openvino.Core, _core
    try:
        yield
    finally:
        openvino.Core = core
