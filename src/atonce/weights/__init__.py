"""Pretrained weights: by name or from a file, into a network.

`registry` holds the names and downloads, `tensor_files` opens files, `layouts` knows the tools that wrote them,
`loading` fills a network, `verification` checks files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from atonce.errors import WeightsError
from atonce.model.fcn import FCN
from atonce.progress import ProgressCallback
from atonce.text import did_you_mean
from atonce.weights.imported import ImportedWeights
from atonce.weights.layouts import LAYOUTS, import_weights
from atonce.weights.layouts.atonce_files import write_trunk
from atonce.weights.layouts.pytorch_fcn import trained_at_once
from atonce.weights.loading import LoadReport, build_network, load_into
from atonce.weights.registry import REGISTRY, fetch
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


def find_weights(source: str | Path, progress: ProgressCallback | None = None) -> Path:
    """Find the file of a registry name, downloaded where need be, of a run folder, which is its model, or of a path.

    Args:
        progress: called with the bytes downloaded and all bytes.

    Raises:
        WeightsError: no such name, or it cannot be downloaded. A path need not exist.
    """
    entry = REGISTRY.get(str(source))
    if entry:
        return fetch(entry, progress)
    path = Path(source)
    if path.is_dir() and (path / "recipe.yaml").is_file():
        return path / "model.safetensors"
    if not path.suffix and not path.exists():
        hint = did_you_mean(str(source), REGISTRY)
        raise WeightsError(f"no weights '{source}'", f"a file or one of {', '.join(REGISTRY)}", hint)
    return path


def read_weights(
    source: str | Path, progress: ProgressCallback | None = None, layout: str | None = None
) -> ImportedWeights:
    """Read the tensors of a registry name or a file, under atonce's names.

    Args:
        layout: one of LAYOUTS; None takes what the registry says, or recognises it.

    Raises:
        WeightsError: no such name or file, of an unknown layout, damaged, or not a VGG-16.
    """
    entry = REGISTRY.get(str(source))
    file = open_weights(find_weights(source, progress))
    return import_weights(file, layout or (entry.layout if entry else None))


def load_weights(
    model: FCN, source: str | Path, progress: ProgressCallback | None = None, *, classes: Sequence[str] = ()
) -> LoadReport:
    """Fill a network from pretrained weights, preprocessing included; see `load_into` for what is taken.

    Args:
        classes: the names of the network's classes.

    Raises:
        WeightsError: as `read_weights`, or the shapes are not the network's.
    """
    return load_into(model, read_weights(source, progress), classes)
