"""Pretrained weights: by name or from a file, into a network.

`registry` holds the names and downloads, `tensor_files` opens files of all formats, `layouts` knows the tools that
wrote them, `loading` fills a network, `verification` checks files. The page "Weights" says what is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atonce.lazy_names import lazy_names

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
    "LAYOUTS": "atonce.weights.layouts",
    "REGISTRY": "atonce.weights.registry",
    "ImportedWeights": "atonce.weights.imported",
    "LoadReport": "atonce.weights.loading",
    "build_network": "atonce.weights.loading",
    "find_weights": "atonce.weights.registry",
    "load_into": "atonce.weights.loading",
    "load_weights": "atonce.weights.loading",
    "read_weights": "atonce.weights.loading",
    "trained_at_once": "atonce.weights.layouts.pytorch_fcn",
    "write_trunk": "atonce.weights.layouts.atonce_files",
}

# Names load with their first use: whether there are weights of a name is asked without waiting for torch.
__getattr__ = lazy_names(__name__, _MODULES)
