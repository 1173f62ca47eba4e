"""COCO's instance annotations (Lin et al. 2014): polygons and run-length codes in one JSON file, as CVAT, Label Studio,
Roboflow and many others export them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from atonce.data.annotation_shapes import Shape, Shapes, dump_shapes, polygon
from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, annotations_of, require_annotations
from atonce.data.images import Problem
from atonce.data.label_classes import Label, resolve_labels
from atonce.data.mask_sources import Annotation
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import no_mask
from atonce.data.picture_index import (
    MISSHAPEN,
    MOST_TRIED,
    PictureIndex,
    annotation_files,
    holds_all,
    item_name,
    read_json,
    reason_of,
    split_in_name,
    split_of,
    usual_files,
)
from atonce.data.splits import complete_splits
from atonce.errors import DataError
from atonce.text import count_of, listing

_WORDS = (b'"images"', b'"annotations"', b'"categories"')
_EXPECTED = "COCO's images, annotations and categories"


class Coco(DatasetFormat):
    """COCO: each category is a class; a crowd is of its class like any other region."""

    name = "coco"
    layout = "a COCO JSON (annotations/instances_*.json, _annotations.coco.json, ...) and its pictures"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        return root if _is_coco(usual_files(root, ".json")) else None

    def find_deep(self, root: Path) -> Path | None:
        """See `DatasetFormat.find_deep`."""
        return root if _is_coco(annotation_files(root, ".json")) else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        index = PictureIndex(root)
        reading = _Reading(root, index)
        for path in _files(root):
            reading.read(path)
        found = annotations_of(reading.splits)
        require_annotations(root, found, reading.problems, _EXPECTED)
        taken = [item.image for items in reading.splits.values() for item in items]
        reading.problems += [no_mask(path) for path in index.rest(taken)]
        labels, reader, about_classes = resolve_labels(
            root, reading.labels(), found, classes=options.classes, numbers="its category id"
        )
        splits = {split: tuple(sorted(items, key=lambda i: i.name)) for split, items in reading.splits.items()}
        made, about_split, extras = complete_splits(splits, options)
        return Dataset(
            format=self.name,
            root=root,
            labels=labels,
            splits=made,
            read_mask=reader,
            problems=tuple(reading.problems),
            notes=(*about_classes, *reading.notes, *about_split),
            extras=extras,
        )


def _is_coco(paths: Iterable[Path]) -> bool:
    return any(holds_all(path, _WORDS) for path in islice(paths, MOST_TRIED))


def _files(root: Path) -> list[Path]:
    """The COCO files of a data set: the instances, where COCO's own captions and keypoints lie beside them."""
    paths = [path for path in annotation_files(root, ".json") if holds_all(path, _WORDS)]
    instances = [path for path in paths if path.name.startswith("instances_")]
    return instances or [path for path in paths if not path.name.startswith(("captions_", "person_keypoints_"))]


@dataclass
class _Reading:
    """The content of the COCO files of a data set.

    Attributes:
        splits: split -> items; "" where a file is of no split.
        categories: id -> name, of all files.
    """

    root: Path
    index: PictureIndex
    splits: dict[str, list[Item]] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def labels(self) -> list[Label]:
        """The categories as labels, by id; one that another file numbers otherwise is taken once."""
        by_name = {name: number for number, name in sorted(self.categories.items(), reverse=True)}
        return sorted((Label(name, number) for name, number in by_name.items()), key=lambda label: label.number or 0)

    def read(self, path: Path) -> None:
        """Read one file. Raises DataError: it is no COCO file, or its categories contradict those of another."""
        data = read_json(path, _EXPECTED)
        try:
            names = {int(category["id"]): str(category["name"]) for category in data["categories"]}
            images = {image["id"]: image for image in data["images"]}
            files = {key: str(image["file_name"]) for key, image in images.items()}
            by_image: dict[Any, list[Mapping[str, Any]]] = {}
            for annotation in data["annotations"]:
                by_image.setdefault(annotation["image_id"], []).append(annotation)
                hash(annotation.get("category_id"))  # a list is no number of a category
        except MISSHAPEN as error:
            found = f"{path} is no COCO file ({reason_of(error)})"
            raise DataError(found, _EXPECTED, "export it again") from None
        self._add_categories(path, names)
        for key in by_image.keys() - images.keys():
            found = f"has {count_of(len(by_image[key]), 'annotation')} of picture {key}, which it does not list"
            self.problems.append(Problem("missing", path, found, remedy="export it again"))
        split = split_in_name(path.stem) or split_of(path, self.root)
        near = _folders_near(path, self.root)
        empty = []
        for key, image in images.items():
            picture = self.index.find(files[key], near)
            if picture is None:
                found = f"does not exist, but {path.name} lists it"
                missing = self.root / files[key]
                self.problems.append(Problem("missing", missing, found, remedy="copy the pictures below the data set"))
                continue
            shapes = self._shapes(path, files[key], by_image.get(key, []), names)
            if not shapes:
                empty.append(files[key])
            size = (image.get("height"), image.get("width"))
            known = all(type(side) is int and side > 0 for side in size)
            content = dump_shapes(Shapes(tuple(shapes), size if known else None))
            item = Item(item_name(files[key]), picture, Annotation(path, picture, content))
            self.splits.setdefault(split, []).append(item)
        if empty:
            some = count_of(len(empty), "picture has", "pictures have")
            self.notes.append(f"{some} no annotation in {path.name}, and nothing but background: {listing(empty)}")

    def _add_categories(self, path: Path, names: Mapping[int, str]) -> None:
        for number, name in names.items():
            if self.categories.setdefault(number, name) != name and name not in self.categories.values():
                # Another numbering, not another class: numbers beyond those taken tell them apart.
                self.categories[max(self.categories) + 1] = name

    def _shapes(
        self, path: Path, file: str, annotations: Sequence[Mapping[str, Any]], names: Mapping[int, str]
    ) -> list[Shape]:
        shapes: list[Shape] = []
        without = otherwise = 0
        for annotation in annotations:
            label = names.get(annotation.get("category_id", -1))
            segmentation = annotation.get("segmentation")
            if label is None:
                found = f"gives {file} the category {annotation.get('category_id')}, which it does not list"
                self.problems.append(Problem("values", path, found, remedy="export it again"))
            elif isinstance(segmentation, dict) and {"size", "counts"} <= segmentation.keys():
                rle = {"size": segmentation["size"], "counts": segmentation["counts"]}
                shapes.append(Shape(label, "rle", rle))
            elif isinstance(segmentation, list) and segmentation and all(isinstance(one, list) for one in segmentation):
                shapes.append(polygon(label, *([ring] for ring in segmentation)))
            elif segmentation:
                otherwise += 1
            else:
                without += 1
        if otherwise:
            found = f"has {count_of(otherwise, 'segmentation')} of {file} in a form that is not known"
            expected = "lists of polygons, each x, y, x, y, ..., or run lengths"
            self.problems.append(Problem("values", path, found, expected, remedy="export it again"))
        if without:
            found = f"has {count_of(without, 'annotation')} of {file} without a segmentation"
            remedy = "a box says nothing of the pixels in it: draw polygons or masks"
            self.problems.append(Problem("values", path, found, "polygons or run lengths", remedy=remedy))
        return shapes


def _folders_near(path: Path, root: Path) -> list[Path]:
    """The folders in which a COCO file's pictures may lie: beside it, in images/, in a folder called after it."""
    stem = path.stem.removeprefix("instances_")
    return [
        path.parent,
        root / stem,
        root / "images" / stem,
        path.parent / "images",
        root / "images",
        root,
    ]
