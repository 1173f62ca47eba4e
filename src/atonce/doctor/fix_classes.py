"""Write the proposed classes file; where the data set reads its classes from it, examine it again with the file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from atonce.data.images import Bands
from atonce.data.masks import ClassMask
from atonce.data.open_options import GroundTruth
from atonce.doctor.examination import Examination, examine
from atonce.errors import DataError, option
from atonce.labels import IGNORE_INDEX
from atonce.progress import ProgressCallback
from atonce.storage import refuse_existing, write_text


def write_classes_file(
    root: str | Path,
    path: str | Path,
    format: str | None = None,
    *,
    ground_truth: GroundTruth | None = None,
    bands: Bands | None = None,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    seed: int = 0,
    val_fraction: float = 0.2,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> Examination:
    """Examine a folder and write a classes file with all names, values and colours found.

    Where it is the classes file of the folder itself (`root/classes.yaml`), the folder is examined again with it.

    Args:
        root, format, ground_truth, bands, images, masks, seed, val_fraction, workers, progress: as in `examine`;
            `progress` begins anew with each examination.
        path: the file to write.

    Returns:
        The last examination.

    Raises:
        DataError: there is something at `path`; no such folder; its layout has classes of its own, or its masks are
            such that no classes can be made out.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    refuse_existing(path)
    examine_again = partial(
        examine,
        root,
        format,
        ground_truth=ground_truth,
        bands=bands,
        images=images,
        masks=masks,
        seed=seed,
        val_fraction=val_fraction,
        workers=workers,
        progress=progress,
    )
    examination = examine_again()
    own = is_classes_file_of(examination.root, path)
    # Opening looked at some masks only; reading all with the first proposal may bring up more.
    for _ in range(2):
        if not examination.classes_yaml:
            raise _nothing_to_write(examination)
        write_text(path, examination.classes_yaml)
        if not own:
            break
        examination = examine_again()
        if not examination.wrong:
            break
    return examination


def _nothing_to_write(examination: Examination) -> DataError:
    """Say why there is no classes file to write."""
    if examination.dataset is None:
        found, remedy = examination.findings[0].marked
        return DataError(found, remedy=remedy)
    if not isinstance(examination.dataset.read_mask, ClassMask):
        return DataError(
            f"the masks of {examination.root} are of a layout with classes of its own ({examination.dataset.format})",
            "images/ and masks/",
            f"leave out {option('fix_classes')}; see the findings without it",
        )
    return DataError(
        f"the masks of {examination.root} hold more values or colours of no class than there can be classes",
        f"at most {IGNORE_INDEX} in all",
        f"leave out {option('fix_classes')}; see the findings without it",
    )


def is_classes_file_of(root: Path, path: Path) -> bool:
    """Tell whether a data set in the folder `root` reads its classes from the file `path`."""
    return path.resolve() in {(root / name).resolve() for name in ("classes.yaml", "classes.yml")}
