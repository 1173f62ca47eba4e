"""A folder of one's own: images/ and masks/, or train/ and val/ of these."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from atonce.data.dataset import Dataset, Item
from atonce.data.images import Problem
from atonce.data.mask_classes import resolve_classes
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import images_in, masks_in, pair, sample_name
from atonce.data.splits import split_items
from atonce.errors import DataError

_IMAGES = ("images", "image", "imgs", "img")
_MASKS = ("masks", "mask", "labels", "annotations")
_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


class Folder:
    """A folder of one's own: pictures and masks pair by their names; classes.yaml or classes.csv says which values
    are which classes."""

    name = "folder"
    layout = "images/ masks/, or train/images/ train/masks/ val/images/ val/masks/ (and classes.yaml)"
    options = frozenset({"classes"})

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        return root if any(masks is not None for _, masks in _folders(root).values()) else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        problems: list[Problem] = []
        splits: dict[str, tuple[Item, ...]] = {}
        for split, (images, masks) in _folders(root).items():
            items, found = _items(images, masks)
            splits[split] = tuple(sorted(items, key=lambda item: item.name))
            problems += found
        masks_there = [item.mask for items in splits.values() for item in items if item.mask is not None]
        if not masks_there and not problems:
            raise DataError(f"{root} holds no pictures", f"pictures and masks in {self.layout}")
        labels, reader, notes = resolve_classes(root, masks_there, options.classes)
        extras: dict[str, str] = {}
        whole = splits.pop("", None) or (splits.get("train") if "val" not in splits else None)
        if whole:
            made, split_notes, extras = split_items(whole, options)
            splits = {**splits, **made}
            notes += split_notes
        return Dataset(
            format=self.name,
            root=root,
            labels=labels,
            splits=splits,
            read_mask=reader,
            problems=tuple(problems),
            notes=tuple(notes),
            extras=extras,
        )


def _folders(root: Path) -> dict[str, tuple[Path, Path | None]]:
    """Split -> folders of pictures and of masks; "" where the folder has no splits."""
    found: dict[str, tuple[Path, Path | None]] = {}
    for split, names in _SPLITS.items():
        for name in names:
            inner = _first(root / name, _IMAGES), _first(root / name, _MASKS)
            outer = _first(root, (f"{i}/{name}" for i in _IMAGES)), _first(root, (f"{m}/{name}" for m in _MASKS))
            images, masks = inner if inner[0] else outer
            if images and (masks or split == "test"):
                found.setdefault(split, (images, masks))
    images, masks = _first(root, _IMAGES), _first(root, _MASKS)
    if not found and images and masks:
        found[""] = (images, masks)
    return found


def _first(root: Path, names: Iterable[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _items(images_folder: Path, masks_folder: Path | None) -> tuple[list[Item], list[Problem]]:
    images, problems = images_in(images_folder)
    if masks_folder is None:
        return [Item(sample_name(key), path) for key, path in images.items()], problems
    masks, mask_problems = masks_in(masks_folder)
    pairs, unpaired = pair(images, masks)
    return [Item(sample_name(k), image, mask) for k, image, mask in pairs], [*problems, *mask_problems, *unpaired]
