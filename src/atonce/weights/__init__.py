"""Pretrained weights: by name or from a file, into a network."""

from __future__ import annotations

import difflib
from pathlib import Path

from atonce.errors import WeightsError
from atonce.model.fcn import FCN
from atonce.weights.files import open_weights
from atonce.weights.importers import LAYOUTS, import_weights
from atonce.weights.imports import Import
from atonce.weights.load import LoadReport, build_network, load_into
from atonce.weights.own import write_trunk
from atonce.weights.pytorch_fcn import trained_at_once
from atonce.weights.registry import REGISTRY, Progress, fetch

__all__ = [
    "LAYOUTS",
    "REGISTRY",
    "Import",
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
        nearest = difflib.get_close_matches(str(source), REGISTRY, 1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else ""
        raise WeightsError(f"no weights '{source}'", f"a file or one of {', '.join(REGISTRY)}", hint)
    return path


def read_weights(source: str | Path, progress: Progress | None = None, layout: str | None = None) -> Import:
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
