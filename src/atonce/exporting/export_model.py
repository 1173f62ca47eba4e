"""Write, check, and only then put in place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atonce.errors import StorageError, option
from atonce.exporting.check_images import CheckImages
from atonce.exporting.graph_files import Target, write_graph
from atonce.exporting.parity import Parity, compare, require_parity
from atonce.inference import NetworkPredictor
from atonce.model_file import ModelFile
from atonce.storage import make_folder, storage_errors


@dataclass(frozen=True)
class Export:
    """A file that has passed its check."""

    path: Path
    megabytes: float
    parity: Parity


def export(
    bundle: ModelFile,
    target: Target,
    out: Path,
    material: CheckImages,
    probabilities: bool = False,
    int8: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Export:
    """Export a network to `out`; OpenVINO's weights go beside it, as .bin.

    Args:
        material: what INT8 is calibrated on, and what the file is checked with.
        progress: called with the checks done and all checks.

    Raises:
        StorageError: `out` has another suffix than the format's, or cannot be written.
        UserError: a package of the extra `export` is missing.
        ParityError, AccuracyError: the file differs by more than is allowed; `out` is as it was before.
    """
    if out.suffix.lower() != target.suffix:
        raise StorageError(
            option("out", out), f"a file name that ends in {target.suffix} for {option('to', target.value)}"
        )
    make_folder(out.parent)
    reference = NetworkPredictor(bundle, device="cpu")
    # Beside the target, so that moving into place is a rename.
    with storage_errors(out), tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as folder:
        made = Path(folder) / out.name
        write_graph(reference.model_file, target, made, probabilities, material.calibration if int8 else ())
        report = (lambda done: progress(done, material.count)) if progress else None
        parity = compare(reference, made, target, material.checks(), report)
        require_parity(parity, int8)
        files = sorted(Path(folder).iterdir(), reverse=True)
        size = sum(file.stat().st_size for file in files)
        # The weights first: where the .xml is, the export is complete.
        for file in sorted(files, key=lambda file: file.name == out.name):
            file.replace(out.parent / file.name)
    return Export(out, size / 1e6, parity)
