"""Cityscapes (Cordts et al. 2016): leftImg8bit and gtFine, its 19 classes for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atonce.data.classes_file import find_classes_file
from atonce.data.dataset import Dataset, Item, MaskReader
from atonce.data.formats.base import DatasetFormat, mask_files
from atonce.data.images import Problem
from atonce.data.mask_classes import resolve_classes
from atonce.data.masks import ClassMask
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import images_in, sample_name
from atonce.labels import IGNORE_INDEX, Colour, LabelSpec

# Name, id in labelIds files, colour: cityscapesscripts/helpers/labels.py, in the order of trainId 0..18.
_CLASSES: tuple[tuple[str, int, Colour], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
_LAST_LABEL_ID = 33

LABELS = LabelSpec(tuple(name for name, _, _ in _CLASSES), tuple(colour for _, _, colour in _CLASSES))

_IMAGE_END = "_leftImg8bit"
_LABEL_IDS = "_gtFine_labelIds"
_TRAIN_IDS = "_gtFine_labelTrainIds"
_SPLITS = ("train", "val", "test")

_BY_LABEL_ID = {label_id: i for i, (_, label_id, _) in enumerate(_CLASSES)}


_READ_LABEL_IDS = ClassMask(
    tuple((i, _BY_LABEL_ID.get(i, IGNORE_INDEX)) for i in range(_LAST_LABEL_ID + 1)),
    remedy="labelIds files hold ids up to 33; a file that holds 255 was made with trainIds: name it labelTrainIds",
)
_READ_TRAIN_IDS = ClassMask(
    (*((i, i) for i in range(len(_CLASSES))), (IGNORE_INDEX, IGNORE_INDEX)),
    remedy="values of 19..33 are labelIds: make trainIds with cityscapesscripts' createTrainIdLabelImgs",
)


class _CityscapesMask:
    """A reader of labelIds (0..33), which it translates, and trainIds (0..18 and 255): which it is, the name says.

    Attributes:
        values: (labelId, trainId or 255), as `ClassMask` has them: what the benchmark wants results in.
    """

    values = _READ_LABEL_IDS.values

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """Read a mask file as trainIds, uint8 (H, W), void 255. Raises FileError as `ClassMask` does."""
        return (_READ_TRAIN_IDS if path.stem.endswith(_TRAIN_IDS) else _READ_LABEL_IDS)(path)


read_mask = _CityscapesMask()


class Cityscapes(DatasetFormat):
    """Cityscapes: labelTrainIds are taken where they are there, else labelIds; the masks of "test" are dummies and not
    read."""

    name = "cityscapes"
    layout = "leftImg8bit/train/CITY/ gtFine/train/CITY/ (and val, test)"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        return root if (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir() else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        splits: dict[str, tuple[Item, ...]] = {}
        problems: list[Problem] = []
        notes: list[str] = []
        own = options.classes or find_classes_file(root)
        for split in _SPLITS:
            if (root / "leftImg8bit" / split).is_dir() or (root / "gtFine" / split).is_dir():
                # What a classes file says of values is said of the ids that people know: labelIds.
                items, found = _items(root, split, prefer=_TRAIN_IDS if own is None else _LABEL_IDS)
                splits[split] = tuple(sorted(items, key=lambda item: item.name))
                problems += found
        masks = mask_files(splits)
        ready = sum(mask.stem.endswith(_TRAIN_IDS) for mask in masks)
        labels: LabelSpec = LABELS
        reader: MaskReader = read_mask
        if own is None:
            notes.append(f"masks: {ready} labelTrainIds, the others labelIds; 19 classes, the rest is void")
        else:
            labels, reader, about_classes = resolve_classes(root, masks, options.classes)
            notes += [*about_classes, f"masks: {ready} labelTrainIds, the others labelIds"]
        if (root / "leftImg8bit" / "train_extra").is_dir():
            notes.append("train_extra has coarse ground truth only and is left out")
        return Dataset(
            format=self.name,
            root=root,
            labels=labels,
            splits=splits,
            read_mask=reader,
            problems=tuple(problems),
            notes=tuple(notes),
        )


def _items(root: Path, split: str, prefer: str) -> tuple[list[Item], list[Problem]]:
    pictures, problems = images_in(root / "leftImg8bit" / split)
    images = {key.removesuffix(_IMAGE_END): path for key, path in pictures.items()}
    if split == "test":
        return [Item(_name(key), path, None, _city(key)) for key, path in images.items()], problems
    files, mask_problems = images_in(root / "gtFine" / split)
    masks: dict[str, Path] = {}
    for ending in (_LABEL_IDS if prefer == _TRAIN_IDS else _TRAIN_IDS, prefer):
        masks |= {key.removesuffix(ending): path for key, path in files.items() if key.endswith(ending)}
    for key in sorted(images.keys() - masks.keys()):
        expected = f"gtFine/{split}/{key}{_LABEL_IDS}.png"
        problems.append(
            Problem("unpaired", images[key], "has no mask", expected, remedy="unpack gtFine_trainvaltest.zip")
        )
    for key in sorted(masks.keys() - images.keys()):
        expected = f"leftImg8bit/{split}/{key}{_IMAGE_END}.png"
        problems.append(Problem("unpaired", masks[key], "has no picture", expected))
    items = [Item(_name(key), images[key], masks[key], _city(key)) for key in images.keys() & masks.keys()]
    return items, [*problems, *mask_problems]


def _name(key: str) -> str:
    """aachen/aachen_000000_000019 -> aachen_000000_000019; the city is in the name already."""
    city, _, stem = key.rpartition("/")
    return stem if stem.startswith(f"{city}_") else sample_name(key)


def _city(key: str) -> str:
    return key.partition("/")[0] if "/" in key else ""
