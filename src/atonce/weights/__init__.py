"""Pretrained weights: by name or from a file, into a network.

`registry` holds the names and downloads, `tensor_files` opens files of all formats, `layouts` knows the tools that
wrote them, `loading` fills a network, `verification` checks files. docs/weights.md says what is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atonce.weights.imported import ImportedWeights
    from atonce.weights.layouts import LAYOUTS
    from atonce.weights.layouts.atonce_files import write_trunk
    from atonce.weights.layouts.pytorch_fcn import trained_at_once
    from atonce.weights.loading import LoadReport, build_network, load_into, load_weights, read_weights
    from atonce.weights.registry import REGISTRY, find_weights

__all__ = [
    "LAYOUTS",
    "REGISTRY",
    "ImportedWeights",
    "LoadReport",
    "build_network",
    "find_weights",
    "load_into",
    "load_weights",
    "read_weights",
    "trained_at_once",
    "write_trunk",
]

_MODULES = {
    "LAYOUTS": "layouts",
    "REGISTRY": "registry",
    "ImportedWeights": "imported",
    "LoadReport": "loading",
    "build_network": "loading",
    "find_weights": "registry",
    "load_into": "loading",
    "load_weights": "loading",
    "read_weights": "loading",
    "trained_at_once": "layouts.pytorch_fcn",
    "write_trunk": "layouts.atonce_files",
}


def __getattr__(name: str) -> Any:
    # Names load with their first use: whether there are weights of a name is asked without waiting for torch.
    if name not in _MODULES:
        raise AttributeError(f"module 'atonce.weights' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"atonce.weights.{_MODULES[name]}"), name)
