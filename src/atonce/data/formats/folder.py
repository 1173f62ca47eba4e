"""Folders of one's own: pictures in one folder, masks in another, under any of the names that people give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, mask_files
from atonce.data.images import IMAGE_SUFFIXES, Problem
from atonce.data.mask_classes import resolve_classes
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import images_in, masks_in, pair, sample_name
from atonce.data.picture_index import entries_in
from atonce.data.splits import SPLITS, complete_splits
from atonce.errors import DataError

# In order of preference; upper and lower case are the same. mmsegmentation has img_dir/ and ann_dir/.
_IMAGES = ("images", "image", "imgs", "img", "img_dir", "pictures", "photos", "inputs", "input")
_MASKS = (
    "masks", "mask", "labels", "label", "annotations", "annotation", "ann_dir", "annotated", "gt", "groundtruth",
    "ground_truth", "segmentations", "segmentation", "targets", "target",
)  # fmt: skip

SplitFolders = Mapping[str, tuple[Path, Path | None]]
"""Split -> the folders of its pictures and of its masks (None where it has none); "" where there are no splits."""


class Folder(DatasetFormat):
    """A folder of one's own: pictures and masks pair by their names; classes.yaml or the table of a tool says which
    values are which classes."""

    name = "folder"
    layout = "images/ masks/, or train/images/ train/masks/ val/images/ val/masks/ (and classes.yaml)"
    options = frozenset({"classes", "images", "masks"})

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        return root if any(masks is not None for _, masks in split_folders(root).values()) else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        problems: list[Problem] = []
        notes: list[str] = []
        splits: dict[str, tuple[Item, ...]] = {}
        for split, (images, masks) in _chosen(root, options).items():
            items, found, remarks = _items(images, masks)
            splits[split] = tuple(sorted(items, key=lambda item: item.name))
            problems += found
            notes += [f"{split}: {remark}" if split else remark for remark in remarks]
        masks_there = mask_files(splits)
        if not masks_there and not problems:
            raise DataError(f"{root} holds no pictures", f"pictures and masks in {self.layout}")
        labels, reader, about_classes = resolve_classes(root, masks_there, options.classes)
        made, about_split, extras = complete_splits(splits, options)
        return Dataset(
            format=self.name,
            root=root,
            labels=labels,
            splits=made,
            read_mask=reader,
            problems=tuple(problems),
            notes=(*about_classes, *notes, *about_split),
            extras=extras,
        )


def _chosen(root: Path, options: OpenOptions) -> SplitFolders:
    """The folders that the user names, with their splits if both have them, or those that are found."""
    if options.images is None or options.masks is None:
        return split_folders(root)
    images, masks = (root / path for path in (options.images, options.masks))
    inside = {split: _inside(images, names) for split, names in SPLITS.items()}
    below = {split: (folder, _inside(masks, SPLITS[split])) for split, folder in inside.items() if folder is not None}
    splits = {split: pair for split, pair in below.items() if pair[1] is not None or split == "test"}
    loose = any(path.suffix.lower() in IMAGE_SUFFIXES for path in images.iterdir() if path.is_file())
    return splits if "train" in splits and not loose else {"": (images, masks)}


def split_folders(root: Path) -> SplitFolders:
    """Find the folders of pictures and masks; "" where the folder has no splits.

    For a split "train" (or "training"): train/images/ train/masks/; images/train/ masks/train/; images_train/
    masks_train/ or train_images/ train_masks/, with anything between (images_prepped_train/); train/ train_masks/.
    """
    found: dict[str, tuple[Path, Path | None]] = {}
    folders = _folders(root)
    for split, names in SPLITS.items():
        for images, masks in _of_split(root, folders, names):
            if masks is not None or split == "test":
                found.setdefault(split, (images, masks))
    whole, masks = _first(folders, _IMAGES), _first(folders, _MASKS)
    if not any(masks_of is not None for _, masks_of in found.values()):
        found = {}
    if not found and whole and masks:
        found[""] = (whole, masks)
    return found


def _of_split(root: Path, folders: Mapping[str, Path], names: tuple[str, ...]) -> Iterator[tuple[Path, Path | None]]:
    """Yield the pairs of folders that a split may have, in order of preference."""
    images, masks = _first(folders, _IMAGES), _first(folders, _MASKS)
    for name in names:
        inside = _folders(folders[name]) if name in folders else {}
        if inner := _first(inside, _IMAGES):
            yield inner, _first(inside, _MASKS)
        elif images is not None and (outer := _folders(images).get(name)):
            yield outer, _folders(masks).get(name) if masks is not None else None
        if (joined := _joined(folders, _IMAGES, name)) is not None:
            yield joined, _joined(folders, _MASKS, name)
        if name in folders and (beside := _joined(folders, _MASKS, name)) is not None:
            yield folders[name], beside
        elif name in folders and not inside and name in SPLITS["test"] and _beside_others(folders):
            yield folders[name], None


def _beside_others(folders: Mapping[str, Path]) -> bool:
    """Tell whether another split is train/ beside train_masks/, so that a lone test/ is one, too."""
    return any(_joined(folders, _MASKS, name) is not None for names in SPLITS.values() for name in names)


def _joined(folders: Mapping[str, Path], kinds: tuple[str, ...], split: str) -> Path | None:
    """The folder whose name joins a kind and a split: train_masks, masks-train, annotations_prepped_train."""
    for name, path in sorted(folders.items()):
        words = name.replace("-", "_").split("_")
        for kind in kinds:
            parts = kind.split("_")
            first = words[: len(parts)] == parts and words[-1] == split and len(words) > len(parts)
            last = words[0] == split and words[1:] == parts
            if first or last:
                return path
    return None


def _folders(root: Path) -> dict[str, Path]:
    """The folders in a folder, by name in lower case; of two that differ in case only the first."""
    found: dict[str, Path] = {}
    for path in entries_in(root):
        if path.is_dir():
            found.setdefault(path.name.lower(), path)
    return found


def _first(folders: Mapping[str, Path], names: tuple[str, ...]) -> Path | None:
    return next((folders[name] for name in names if name in folders), None)


def _inside(folder: Path, names: tuple[str, ...]) -> Path | None:
    return _first(_folders(folder), names)


def _items(images_folder: Path, masks_folder: Path | None) -> tuple[list[Item], list[Problem], list[str]]:
    images, problems = images_in(images_folder)
    if masks_folder is None:
        return [Item(sample_name(key), path) for key, path in images.items()], problems, []
    masks, mask_problems = masks_in(masks_folder)
    found = pair(images, masks)
    items = [Item(sample_name(key), image, mask) for key, image, mask in found.pairs]
    return items, [*problems, *mask_problems, *found.problems], found.notes
