"""Write the proposed classes file; where the data set reads its classes from it, examine it again with the file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from atonce.data.open_options import GroundTruth
from atonce.doctor.examination import Examination, examine
from atonce.errors import DataError, option
from atonce.progress import ProgressCallback
from atonce.storage import refuse_existing, write_text


def write_classes_file(
    root: str | Path,
    path: str | Path,
    format: str | None = None,
    *,
    ground_truth: GroundTruth | None = None,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> Examination:
    """Examine a folder and write a classes file with all names, values and colours found.

    Where it is the classes file of the folder itself (`root/classes.yaml`), the folder is examined again with it.

    Args:
        root, format, ground_truth, workers, progress: as in `examine`; `progress` begins anew with each examination.
        path: the file to write.

    Returns:
        The last examination.

    Raises:
        DataError: there is something at `path`, no such folder, or its layout has classes of its own.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    refuse_existing(path)
    examine_again = partial(examine, root, format, ground_truth=ground_truth, workers=workers, progress=progress)
    examination = examine_again()
    own = is_classes_file_of(examination.root, path)
    # Opening looked at some masks only; reading all with the first proposal may bring up more.
    for _ in range(2):
        if not examination.classes_yaml:
            found = f"the masks of {examination.root} are of a layout with classes of its own"
            remedy = f"leave out {option('fix_classes')}; see the findings without it"
            raise DataError(found, "images/ and masks/", remedy)
        write_text(path, examination.classes_yaml)
        if not own:
            break
        examination = examine_again()
        if not examination.wrong:
            break
    return examination


def is_classes_file_of(root: Path, path: Path) -> bool:
    """Tell whether a data set in the folder `root` reads its classes from the file `path`."""
    return path.resolve() in {(root / name).resolve() for name in ("classes.yaml", "classes.yml")}
