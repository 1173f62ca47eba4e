"""Data sets by their layouts: `open_dataset` recognises one and opens it.

A new annotation format is one file in this folder: a class that follows `DatasetFormat` (base.py). It gets one line in
`_FORMATS` below, which is the order of recognition, and one tree of files in `HEALTHY` of tests/data/trees.py, with
which the contract test (tests/data/formats/test_format_contract.py) holds it to all that every format promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path

from atonce.data.dataset import Dataset
from atonce.data.formats.ade20k import Ade20k
from atonce.data.formats.base import DatasetFormat
from atonce.data.formats.binary_masks import BinaryMasks
from atonce.data.formats.camvid import CamVid, CamVidLayout
from atonce.data.formats.cityscapes import Cityscapes
from atonce.data.formats.coco import Coco
from atonce.data.formats.folder import Folder
from atonce.data.formats.kitti_road import KittiRoad
from atonce.data.formats.label_studio import LabelStudio
from atonce.data.formats.labelme import Labelme
from atonce.data.formats.nearest import data_set_around, nearest_layout
from atonce.data.formats.one_folder import OneFolder
from atonce.data.formats.ultralytics import Ultralytics
from atonce.data.formats.voc import Voc, VocLayout
from atonce.data.formats.yolo import Yolo
from atonce.data.images import Bands
from atonce.data.mask_classes import ClassesNeeded
from atonce.data.open_options import GroundTruth, OpenOptions
from atonce.data.pairing import clashes
from atonce.data.splits import split_called
from atonce.errors import DataError, DataErrorOfLines, one_line, option
from atonce.remote import address_of, local_copy, require_existing
from atonce.text import did_you_mean, listing

__all__ = ["ALIASES", "FORMATS", "ClassesNeeded", "OpenOptions", "named_folder", "open_dataset", "recognise"]

_FORMATS: tuple[DatasetFormat, ...] = (
    Cityscapes(),
    KittiRoad(),
    Ade20k(),
    Voc(),
    VocLayout(),
    CamVid(),
    CamVidLayout(),
    LabelStudio(),
    Ultralytics(),
    Yolo(),
    Coco(),
    Labelme(),
    BinaryMasks(),
    Folder(),
    OneFolder(),
)

FORMATS: Mapping[str, DatasetFormat] = {known.name: known for known in _FORMATS}
"""All formats by name; recognition asks them in this order, the most particular layout first."""

ALIASES: Mapping[str, str] = {
    "cvat": "voc-layout",
    "segmentation-mask": "voc-layout",
    "roboflow": "one-folder",
    "mmseg": "folder",
    "mmsegmentation": "folder",
    "ade": "ade20k",
    "kitti": "kitti-road",
    "pascal-voc": "voc",
    "ultralytics-semantic": "ultralytics",
    "labelstudio": "label-studio",
}
"""Other names under which people look for a format."""


def recognise(root: Path) -> str | None:
    """Return the name of the first format whose layout a folder has, or None."""
    located = _locate(root)
    return None if located is None else located[0]


def is_run(folder: Path) -> bool:
    """Tell whether a folder is that of a training run."""
    logs = ("log.jsonl", "run.json")
    return (folder / "recipe.yaml").is_file() and any((folder / name).is_file() for name in logs)


def _locate(root: Path) -> tuple[str, Path] | None:
    """Return the name of the first format whose layout a folder has, and the data set's own folder, or None."""
    if is_run(root):
        return None  # its pictures and labels are not there to be learned from
    for name, known in FORMATS.items():
        found = known.find(root)
        if found is not None and known.fits(found):
            return name, found
    return None


def open_dataset(
    root: Path | str,
    format: str | None = None,
    *,
    ground_truth: GroundTruth | None = None,
    seed: int = 0,
    val_fraction: float = 0.2,
    bands: Bands | None = None,
    classes: Path | str | None = None,
    images: str | PathLike[str] | None = None,
    masks: str | PathLike[str] | None = None,
) -> Dataset:
    """Open the data set in a folder.

    Args:
        root: the folder; KITTI's `data_road` and VOC's `VOCdevkit/VOC2012` are also found below it.
        format: one of `FORMATS`; None: recognised from the folder.
        ground_truth: KITTI road only, "road" (default) or "lane".
        seed, val_fraction: the split, where the data set brings none of its own.
        bands: the bands of the pictures that are read, counted from 1: three as red, green and blue, or one as grey;
            None: the first three.
        classes: a classes file elsewhere than in the folder, for layouts that read one.
        images, masks: the folders of pictures and of masks, relative to `root` or not, where the layout is none that is
            known; both or neither.

    Raises:
        DataError: no such folder, an empty one, no layout recognised, or options that do not fit.
    """
    root = local_copy(root).expanduser()
    pictures, mask_folder = _named_folders(root, images, masks) if root.is_dir() else (None, None)
    name = require_format(root, format or ("folder" if pictures is not None else None))
    options = OpenOptions(
        ground_truth=ground_truth,
        seed=seed,
        val_fraction=val_fraction,
        format=None if format is None else name,
        images=pictures,
        masks=mask_folder,
        bands=bands,
        classes=None if classes is None else Path(classes),
    )
    chosen = FORMATS[name]
    _require_options(chosen, options)
    found = root if pictures is not None else chosen.find(root) or (chosen.find_deep(root) if format else None)
    named = name if format is not None and pictures is None else None
    expected = f"{chosen.layout} for {option('format', name)}"
    if found is None:
        remedy = _other_layout(root, named) or nearest_layout(root, _locate)
        raise DataError(f"{root} holds {_contents(root)}", expected, remedy)
    try:
        dataset = chosen.open(found, options)
    except ClassesNeeded:
        raise
    except DataError as error:
        other = _other_layout(root, named)
        raise (DataError(*error.parts[:2], other) if other else error) from None
    masks_there = any(item.mask is not None for items in dataset.splits.values() for item in items)
    if not masks_there and (other := _other_layout(root, named)):
        raise DataError(f"{root} holds {_contents(root)}", expected, other)
    notes = dataset.notes
    if format is None and split_called(root.resolve().name) and (around := data_set_around(root, _locate)):
        notes = (*notes, f"{around}; its other parts and its classes file are not used here")
    return replace(dataset, problems=(*dataset.problems, *clashes(dataset.splits)), bands=bands, notes=notes)


def require_format(root: Path | str, format: str | None = None) -> str:
    """Return the name of the format that a folder is opened as; nothing but the names of some files is read for it.

    What lies at an address is copied first, as it is to be opened.

    Args:
        format: one of `FORMATS`; None: recognised from the folder.

    Raises:
        DataError: no such folder, an empty one, no such format, or no layout recognised.
    """
    root = local_copy(root).expanduser()
    require_folder(root)
    name = _known(format) if format is not None else recognise(root)
    if name is None:
        raise _not_recognised(root)
    return name


def require_folder(root: Path) -> None:
    """Require a folder that holds something; an address is looked at when it is copied. Raises DataError."""
    if address_of(root) is not None:
        return
    require_existing(root, "a folder with a data set")
    if not root.is_dir():
        raise DataError(f"{root} is a file", "a folder with a data set", "unpack it if it is an archive")
    try:
        empty = not any(root.iterdir())
    except OSError as error:
        raise DataError(f"{root} cannot be listed ({error.strerror})", "a folder that can be read") from None
    if empty:
        raise DataErrorOfLines(one_line(f"{root} is empty"), f"a folder with a data set:{_layouts()}")


def _named_folders(
    root: Path, images: str | PathLike[str] | None, masks: str | PathLike[str] | None
) -> tuple[Path | None, Path | None]:
    """The folders that a user names, as they are relative to the root or not. Raises DataError: one of them alone, or
    not there."""
    if images is None and masks is None:
        return None, None
    if images is None or masks is None:
        given, other = ("images", "masks") if masks is None else ("masks", "images")
        raise DataError(f"{option(given)} without {option(other)}", "both: the folders of pictures and of masks")
    found = []
    for name, path in (("images", Path(images)), ("masks", Path(masks))):
        folder = named_folder(root, path)
        if folder is None:
            raise DataError(
                f"{option(name, str(path))} is no folder", f"a folder in {root}, or the path of one", _folders_of(root)
            )
        found.append(folder)
    return found[0], found[1]


def named_folder(root: Path, path: Path) -> Path | None:
    """Find a folder that a user names: in the data set, or as a path of its own; relative to the root where it lies
    below, so that the name holds wherever the data set is."""
    path = path.expanduser()
    folder = next((folder for folder in (root / path, path) if folder.is_dir()), None)
    if folder is None:
        return None
    absolute, top = folder.resolve(), root.resolve()
    return absolute.relative_to(top) if absolute.is_relative_to(top) else absolute


def _folders_of(root: Path) -> str:
    return f"there are {listing(sorted(p.name for p in root.iterdir() if p.is_dir()), 8) or 'no folders'}"


def _known(format: str) -> str:
    name = format.lower().replace("_", "-")
    name = ALIASES.get(name, name)
    if name not in FORMATS:
        remedy = did_you_mean(name, FORMATS, cutoff=0.4)
        raise DataError(f"there is no format '{format}'", f"one of {', '.join(FORMATS)}", remedy)
    return name


def _require_options(format: DatasetFormat, options: OpenOptions) -> None:
    if options.images is not None and "images" not in format.options:
        found = f"{option('images')} and {option('masks')} were given for a data set of format '{format.name}'"
        raise DataError(found, "'folder' for them", f"leave out {option('format')}")
    if options.ground_truth is not None and "ground_truth" not in format.options:
        raise DataError(f"ground_truth was given for a data set of format '{format.name}'", "kitti-road for it")
    if options.ground_truth not in (None, "road", "lane"):
        raise DataError(f"ground_truth is '{options.ground_truth}'", "'road' or 'lane'")
    if options.classes is not None and "classes" not in format.options:
        raise DataError(f"a classes file was given for a data set of format '{format.name}'", "images/ and masks/")
    if options.bands is not None and (len(options.bands) not in (1, 3) or min(options.bands) < 1):
        found = f"bands are {', '.join(map(str, options.bands)) or 'none'}"
        raise DataError(found, "three numbers from 1 on, of red, green and blue, or one")
    if not 0 < options.val_fraction < 1:
        raise DataError(f"val_fraction is {options.val_fraction}", "a share above 0 and below 1, such as 0.2")


def _other_layout(root: Path, named: str | None) -> str:
    """Say of what format a folder is, where that is not the one that was named; empty where none was, or none fits."""
    known = recognise(root) if named is not None else None
    return "" if known in (None, named) else f"it is {known}: {option('format', known)}"


def _layouts() -> str:
    """All layouts, one a line."""
    return "".join(f"\n  {name:15}{known.layout}" for name, known in FORMATS.items())


def _contents(root: Path, limit: int = 6) -> str:
    names = sorted(p.name + "/" * p.is_dir() for p in root.iterdir() if not p.name.startswith("."))
    return listing(names, limit) or "hidden files only"


def _not_recognised(root: Path) -> DataError:
    if is_run(root):
        remedy = nearest_layout(root, _locate) or f"{option('format')} opens it all the same"
        return DataError(f"{root} is a training run", "a folder of data", remedy)
    found, near = f"{root} holds {_contents(root)}, which is no layout known", nearest_layout(root, _locate)
    if near:
        return DataError(found, remedy=near)
    return DataErrorOfLines(one_line(found), f"one of these layouts:{_layouts()}")
