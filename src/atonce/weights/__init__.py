"""Pretrained weights: by name or from a file, into a network."""

from __future__ import annotations

from pathlib import Path

from atonce.errors import WeightsError
from atonce.model.fcn import FCN
from atonce.text import did_you_mean
from atonce.weights.imported import ImportedWeights
from atonce.weights.layouts import LAYOUTS, import_weights
from atonce.weights.layouts.atonce_files import write_trunk
from atonce.weights.layouts.pytorch_fcn import trained_at_once
from atonce.weights.loading import LoadReport, build_network, load_into
from atonce.weights.registry import REGISTRY, Progress, fetch
from atonce.weights.tensor_files import open_weights

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


def find_weights(source: str | Path, progress: Progress | None = None) -> Path:
    """A registry name or a file -> the file, downloaded where need be. Raises WeightsError."""
    entry = REGISTRY.get(str(source))
    if entry:
        return fetch(entry, progress)
    path = Path(source)
    if not path.suffix and not path.exists():
        hint = did_you_mean(str(source), REGISTRY)
        raise WeightsError(f"no weights '{source}'", f"a file or one of {', '.join(REGISTRY)}", hint)
    return path


def read_weights(source: str | Path, progress: Progress | None = None, layout: str | None = None) -> ImportedWeights:
    """A registry name or a file -> tensors under atonce's names. Raises WeightsError.

    Args:
        layout: one of LAYOUTS; None takes what the registry says, or recognises it.
    """
    entry = REGISTRY.get(str(source))
    file = open_weights(find_weights(source, progress))
    return import_weights(file, layout or (entry.layout if entry else None))


def load_weights(model: FCN, source: str | Path, progress: Progress | None = None) -> LoadReport:
    """Fill a network from pretrained weights, preprocessing included. Raises WeightsError."""
    return load_into(model, read_weights(source, progress))
