"""Pictures and their masks in one folder, told apart by their names, as Roboflow exports them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, mask_files
from atonce.data.images import IMAGE_SUFFIXES, Problem
from atonce.data.mask_classes import resolve_classes
from atonce.data.mask_probe import probe_masks
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import LOSSY_SUFFIXES, MASK_ENDINGS, files_below, images_in, lossy_mask, pair, sample_name
from atonce.data.picture_index import entries_in
from atonce.data.splits import SPLITS, complete_splits
from atonce.errors import DataError

_PROBED, _MOST_COLOURS = 4, 256
"""Masks that are looked at to tell them from photographs, and the most colours that those have together."""

_LISTED = 2000
"""Files that are looked at to recognise the layout."""


class OneFolder(DatasetFormat):
    """0.jpg and 0_mask.png side by side; in the root, or in train/ valid/ test/. Also 0.jpg and 0.png, where every
    picture is a JPEG and every mask a PNG."""

    name = "one-folder"
    layout = "0.jpg 0_mask.png in one folder, or in train/ valid/ test/ (Roboflow: and _classes.csv)"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        return root if any(_is_mixed(folder) for folder in _folders(root).values()) else None

    def fits(self, root: Path) -> bool:
        """See `DatasetFormat.fits`: where each JPEG has a PNG of its name, these are masks, not the same pictures."""
        beside = [mask for folder in _folders(root).values() for _, _, mask in _png_beside_jpeg(folder)]
        return len(probe_masks(beside, _PROBED).colours) <= _MOST_COLOURS

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        problems: list[Problem] = []
        notes: list[str] = []
        splits: dict[str, tuple[Item, ...]] = {}
        for split, folder in _folders(root).items():
            items, found, remarks = _items(folder, split)
            if items or found:
                splits[split] = tuple(sorted(items, key=lambda item: item.name))
            problems += found
            notes += [f"{split}: {remark}" if split else remark for remark in remarks]
        masks = mask_files(splits)
        if not masks and not problems:
            raise DataError(f"{root} holds no masks beside its pictures", self.layout)
        labels, reader, about_classes = resolve_classes(root, masks, options.classes)
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


def _folders(root: Path) -> Mapping[str, Path]:
    """Split -> its folder; "" -> the root, where there is none."""
    there = {split: root / name for split, names in SPLITS.items() for name in names if (root / name).is_dir()}
    return there or {"": root}


def _is_mixed(folder: Path) -> bool:
    """Tell whether a folder itself holds pictures with their masks beside them."""
    paths = [path for path in entries_in(folder)[:_LISTED] if path.suffix.lower() in IMAGE_SUFFIXES]
    jpeg = {path.stem for path in paths if path.suffix.lower() in LOSSY_SUFFIXES}
    png = {path.stem for path in paths if path.suffix.lower() == ".png"}
    stems = {path.stem for path in paths}
    return bool(jpeg and jpeg == png) or any(stem + ending in stems for stem in stems for ending in MASK_ENDINGS)


def _items(folder: Path, split: str) -> tuple[list[Item], list[Problem], list[str]]:
    beside = _png_beside_jpeg(folder)
    if beside:
        items = [Item(sample_name(key), image, mask) for key, image, mask in beside]
        return items, [], ["the PNG beside each JPEG is taken for its mask"]
    files, problems = images_in(folder)
    ending = next((e for e in MASK_ENDINGS if any(key + e in files for key in files)), None)
    masks = {key: path for key, path in files.items() if ending and key.endswith(ending)}
    pictures = {key: path for key, path in files.items() if key not in masks}
    if split == "test" and not masks:
        return [Item(sample_name(key), path) for key, path in pictures.items()], problems, []
    problems += [lossy_mask(path) for path in masks.values() if path.suffix.lower() in LOSSY_SUFFIXES]
    found = pair(pictures, masks)
    items = [Item(sample_name(key), image, mask) for key, image, mask in found.pairs]
    return items, [*problems, *found.problems], found.notes


def _png_beside_jpeg(folder: Path) -> list[tuple[str, Path, Path]]:
    """Pair each JPEG with the PNG of the same name; nothing where a single one has no partner."""
    by_suffix: dict[bool, dict[str, Path]] = {True: {}, False: {}}
    for path in files_below(folder):
        suffix = path.suffix.lower()
        if suffix in LOSSY_SUFFIXES or suffix == ".png":
            key = path.relative_to(folder).with_suffix("").as_posix()
            by_suffix[suffix in LOSSY_SUFFIXES][key] = path
    pictures, masks = by_suffix[True], by_suffix[False]
    return [(key, pictures[key], masks[key]) for key in sorted(pictures)] if pictures.keys() == masks.keys() else []
