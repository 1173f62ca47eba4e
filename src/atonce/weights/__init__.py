"""Pretrained weights: by name or from a file, into a network."""

from __future__ import annotations

import difflib
from pathlib import Path

from atonce.errors import WeightsError
from atonce.model.fcn import FCN
from atonce.weights.files import read_tensors
from atonce.weights.importers import Import, LoadReport, import_torchvision, load_into, recognise
from atonce.weights.registry import REGISTRY, Progress, fetch

__all__ = ["REGISTRY", "Import", "LoadReport", "load_into", "load_weights", "read_weights"]


def read_weights(source: str | Path, progress: Progress | None = None) -> Import:
    """A registry name or a file -> tensors under atonce's names. Raises WeightsError."""
    entry = REGISTRY.get(str(source))
    path = fetch(entry, progress) if entry else Path(source)
    if entry is None and not path.suffix:
        nearest = difflib.get_close_matches(str(source), REGISTRY, 1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else ""
        raise WeightsError(f"no weights '{source}'", f"a file or one of {', '.join(REGISTRY)}", hint)
    tensors = read_tensors(path)
    return import_torchvision(tensors, entry.layout if entry else recognise(tensors))


def load_weights(model: FCN, source: str | Path, progress: Progress | None = None) -> LoadReport:
    """Fill a network from pretrained VGG-16 weights, preprocessing included. Raises WeightsError."""
    return load_into(model, read_weights(source, progress))
