"""Write what was understood of a data set as images/, masks/ and classes.yaml, which any program reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from atonce.data.dataset import Dataset, Item
from atonce.data.images import FileError
from atonce.doctor.examination import Examination
from atonce.errors import DataError
from atonce.labels import LabelSpec
from atonce.progress import ProgressCallback
from atonce.storage import make_folder, refuse_existing, storage_errors, write_atomically, write_text
from atonce.threads import at_most

_HEAD = "# Written by `atonce doctor`: the classes and their numbers in masks/; 255 is void.\n"


@dataclass(frozen=True)
class WrittenMasks:
    """Files that `write_masks` has written.

    Attributes:
        folder: it holds images/, masks/ and classes.yaml.
        pictures: pictures written.
        masks: masks written; test pictures may have none.
        broken: why the other pictures of the data set could not be written.
    """

    folder: Path
    pictures: int
    masks: int
    broken: tuple[DataError, ...]


def write_masks(
    examination: Examination,
    folder: str | Path,
    *,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> WrittenMasks:
    """Write a data set of any layout as index masks: images/NAME.jpg, masks/NAME.png and classes.yaml.

    Masks are palette PNGs of the class ids, 255 void, in the colours of the classes; pictures are copies of the files.
    A data set with several splits gets folders for them (images/train/, masks/train/). Opened again, the folder has the
    same classes, ids and splits.

    Args:
        examination: that of the data set, see `examine`.
        folder: it may exist, but hold none of these.
        workers: threads; None: 4, or fewer where `atonce.set_threads` says so.
        progress: called with the pictures done and all pictures.

    Raises:
        DataError: the data set could not be opened; there are such files already.
        StorageError: the folder cannot be written.
    """
    folder, dataset = Path(folder), examination.dataset
    if dataset is None:
        raise DataError(f"{examination.root} could not be opened", "a data set", examination.findings[0].found)
    classes = folder / "classes.yaml"
    for path in (folder / "images", folder / "masks", classes):
        refuse_existing(path)
    jobs = list(_jobs(dataset))
    make_folder(folder)
    write_text(classes, classes_text(dataset.labels))
    broken: list[DataError] = []
    pictures = masks = 0
    with ThreadPoolExecutor(workers or at_most(4)) as pool:
        for done, result in enumerate(pool.map(partial(_write, dataset, folder), jobs), 1):
            if isinstance(result, DataError):
                broken.append(result)
            else:
                pictures, masks = pictures + 1, masks + result
            if progress is not None:
                progress(done, len(jobs))
    return WrittenMasks(folder, pictures, masks, tuple(broken))


def classes_text(labels: LabelSpec) -> str:
    """Write a classes.yaml for masks of class ids."""
    entries = [
        {"name": name, "colour": list(colour), "value": class_id}
        for class_id, (name, colour) in enumerate(zip(labels.names, labels.palette, strict=True))
    ]
    lines = [yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=1000) for entry in entries]
    return _HEAD + "classes:\n" + "".join(f"  - {line}" for line in lines)


def _jobs(dataset: Dataset) -> Iterator[tuple[str, Item]]:
    """Yield (folder of the split, item); "" where there is but one split."""
    splits = {split: items for split, items in dataset.splits.items() if items}
    for split, items in splits.items():
        for item in items:
            yield split if len(splits) > 1 else "", item


def _write(dataset: Dataset, folder: Path, job: tuple[str, Item]) -> bool | DataError:
    """Write one picture and its mask; tell whether it has a mask, or why it could not be written."""
    split, item = job
    image = folder / "images" / split / f"{item.name}{item.image.suffix}"
    try:
        sample = dataset.load(item)
    except FileError as error:
        return error
    if image.exists():
        return DataError(f"{item.image} has the name of another picture: {item.name}", "one name each", "rename one")
    make_folder(image.parent)
    with storage_errors(image):
        shutil.copyfile(item.image, image)
    if sample.mask is None:
        return False
    mask = folder / "masks" / split / f"{item.name}.png"
    make_folder(mask.parent)
    write_atomically(mask, partial(_save, sample.mask, dataset.labels))
    return True


def _save(mask: NDArray[np.uint8], labels: LabelSpec, path: Path) -> None:
    image = Image.fromarray(mask)
    image.putpalette(labels.lookup().ravel().tolist())
    image.save(path)
