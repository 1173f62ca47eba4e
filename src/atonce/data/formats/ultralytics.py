"""Ultralytics' layout for semantic segmentation: PNG masks in a folder beside images/, and a data.yaml with names."""

from __future__ import annotations

from pathlib import Path

from atonce.data.classes_file import find_classes_file
from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, mask_files
from atonce.data.formats.data_yaml import DataYaml, file_beside, find_data_yaml, read_data_yaml
from atonce.data.images import Problem
from atonce.data.mask_classes import resolve_classes
from atonce.data.masks import ClassMask
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import no_mask, sample_name
from atonce.data.splits import complete_splits
from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX, LabelSpec

_SUFFIXES = (".png", ".PNG", ".bmp", ".tif")


class Ultralytics(DatasetFormat):
    """Ultralytics' semantic layout: masks hold the indices of data.yaml's names, or values that its label_mapping
    translates; 255 is void."""

    name = "ultralytics"
    layout = "images/train/ masks/train/ (or masks_dir) and data.yaml with names (Ultralytics, semantic)"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        path = find_data_yaml(root)
        if path is None:
            return None
        try:
            data = read_data_yaml(path)
        except DataError:
            return None
        return root if data.masks else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        path = find_data_yaml(root)
        assert path is not None, "find has seen it"
        data = read_data_yaml(path)
        problems: list[Problem] = []
        splits: dict[str, list[Item]] = {}
        seen: set[Path] = set()
        for split, pictures, found in data.pictures():
            problems += found
            for key, image in sorted(pictures.items()):
                mask = file_beside(image, root, data.masks, _SUFFIXES)
                seen.add(mask)
                if mask.is_file() or split == "test":
                    item = Item(sample_name(key), image, mask if mask.is_file() else None)
                    splits.setdefault(split, []).append(item)
                else:
                    problems.append(no_mask(image))
        for folder in sorted({mask.parent for mask in seen}):
            for mask in sorted(folder.iterdir()) if folder.is_dir() else ():
                if mask not in seen and mask.suffix in _SUFFIXES:
                    problems.append(Problem("unpaired", mask, "has no picture", remedy="add it, or remove the mask"))
        ordered = {split: tuple(sorted(items, key=lambda item: item.name)) for split, items in splits.items()}
        if not ordered and not problems:
            raise DataError(f"{path} leads to no pictures", "train: and val: that do", "look at its path")
        if options.classes is not None or find_classes_file(root) is not None:
            labels, reader, about_classes = resolve_classes(root, mask_files(ordered), options.classes)
        else:
            labels, reader, about_classes = _classes(path, data)
        made, about_split, extras = complete_splits(ordered, options)
        return Dataset(
            format=self.name,
            root=root,
            labels=labels,
            splits=made,
            read_mask=reader,
            problems=tuple(problems),
            notes=(*about_classes, *data.notes, *about_split),
            extras=extras,
        )


def _classes(path: Path, data: DataYaml) -> tuple[LabelSpec, ClassMask, list[str]]:
    numbers = sorted(data.names)
    try:
        labels = LabelSpec.from_names([data.names[number] for number in numbers])
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    ids = {number: i for i, number in enumerate(numbers)} | {IGNORE_INDEX: IGNORE_INDEX}
    mapping = data.label_mapping or {number: number for number in numbers}
    wrong = [number for number in mapping.values() if number not in ids]
    if wrong:
        raise DataError(f"{path} maps to the class {wrong[0]}, which it does not name", "a class of names")
    values = {value: ids[number] for value, number in mapping.items()}
    values.setdefault(IGNORE_INDEX, IGNORE_INDEX)
    remedy = f"add it to the names or the label_mapping of {path.name}"
    return labels, ClassMask(tuple(sorted(values.items())), remedy=remedy), [f"classes from {path.name}"]
