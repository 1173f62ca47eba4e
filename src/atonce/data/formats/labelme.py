"""labelme (Wada): a JSON file beside each picture; and what its tools export, a folder with label.png for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from atonce.data.annotation_shapes import Shape, Shapes, circle, dump_shapes, labels_of, polygon, thick_line
from atonce.data.class_statistics import count_values
from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, annotations_of, require_annotations
from atonce.data.images import Problem
from atonce.data.label_classes import Label, resolve_labels
from atonce.data.mask_sources import Annotation
from atonce.data.masks import index_values, open_mask
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import no_mask
from atonce.data.picture_index import (
    MISSHAPEN,
    MOST_TRIED,
    PictureIndex,
    annotation_files,
    entries_in,
    holds_all,
    item_name,
    read_json,
    reason_of,
    split_of,
    usual_files,
)
from atonce.data.splits import complete_splits
from atonce.errors import DataError
from atonce.text import count_of

_WORDS = (b'"shapes"', b'"imagePath"')
_EXPECTED = "a file that labelme wrote"
_LINE_WIDTH, _POINT_RADIUS = 10, 5
"""Pixels: labelme itself paints lines and points into masks this wide."""


class Labelme(DatasetFormat):
    """labelme: each label is a class, in alphabetical order after the background."""

    name = "labelme"
    layout = "labelme's x.json beside x.jpg (or a folder x_json/ with img.png, label.png, label_names.txt for each)"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        if _is_labelme(usual_files(root, ".json")) or any(_exported(usual_files(root, ".txt"))):
            return root
        # A folder of such folders, one for each camera or day, is one data set; a folder of many data sets is none.
        below = [path for path in entries_in(root) if path.is_dir()]
        return root if below and all(_is_labelme(usual_files(path, ".json", 0)) for path in below) else None

    def find_deep(self, root: Path) -> Path | None:
        """See `DatasetFormat.find_deep`."""
        found = _is_labelme(annotation_files(root, ".json")) or any(_exported(annotation_files(root, ".txt")))
        return root if found else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        splits: dict[str, list[Item]] = {}
        problems: list[Problem] = []
        files = [path for path in annotation_files(root, ".json") if holds_all(path, _WORDS)]
        index = PictureIndex(root)
        for path in files:
            try:
                item = _item(path, root, index)
            except DataError as error:
                found, expected, remedy = error.parts
                problems.append(Problem("unreadable", path, found, expected, remedy=remedy))
                continue
            if isinstance(item, Problem):
                problems.append(item)
            else:
                splits.setdefault(split_of(path, root), []).append(item)
        if files:
            rest = index.rest(item.image for items in splits.values() for item in items)
            problems += [no_mask(path) for path in rest]
        else:
            for folder in _exported(annotation_files(root, ".txt")):
                splits.setdefault(split_of(folder, root), []).append(_exported_item(folder, root))
        found_annotations = annotations_of(splits)
        require_annotations(root, found_annotations, problems, self.layout)
        labels = [Label(name) for name in sorted(labels_of(found_annotations))]
        spec, reader, about_classes = resolve_labels(
            root, labels, found_annotations, classes=options.classes, numbers="its name"
        )
        ordered = {split: tuple(sorted(items, key=lambda item: item.name)) for split, items in splits.items()}
        made, about_split, extras = complete_splits(ordered, options)
        return Dataset(
            format=self.name,
            root=root,
            labels=spec,
            splits=made,
            read_mask=reader,
            problems=tuple(problems),
            notes=(*about_classes, *about_split),
            extras=extras,
        )


def _item(path: Path, root: Path, index: PictureIndex) -> Item | Problem:
    data = read_json(path, _EXPECTED)
    try:
        listed, name = data["shapes"], str(data["imagePath"])
        shapes = tuple(_shape(i, shape) for i, shape in enumerate(listed))
    except MISSHAPEN as error:
        found = f"cannot be understood ({reason_of(error)})"
        return Problem("unreadable", path, found, _EXPECTED, remedy="save it again")
    picture = index.find(name, [path.parent])
    if picture is None:
        picture = next((p for p in index.paths if p.parent == path.parent and p.stem == path.stem), None)
    if picture is None:
        found = f"is about {name}, which does not exist"
        return Problem("missing", path, found, "the picture beside it", remedy="copy it there")
    size = (data.get("imageHeight"), data.get("imageWidth"))
    known = all(type(side) is int and side > 0 for side in size)
    content = dump_shapes(Shapes(shapes, size if known else None))
    return Item(_name(path, root), picture, Annotation(path, picture, content))


def _name(path: Path, root: Path) -> str:
    """The name of an item: the path of its file, without the folder of its split."""
    relative = path.relative_to(root)
    split = split_of(path, root)
    folders = relative.parts[:-1]
    if split and split_of(root / folders[0] / "x", root) == split:
        relative = Path(*relative.parts[1:])
    return item_name(relative.as_posix())


def _shape(number: int, shape: Mapping[str, Any]) -> Shape:
    """Make a shape of labelme's. Raises ValueError (what is wrong, in words), KeyError, TypeError: it is none."""
    label, kind = str(shape["label"]), shape.get("shape_type") or "polygon"
    points = [(float(x), float(y)) for x, y in shape["points"]]
    where = f"shape {number + 1}, {label}"
    wanted = {"circle": 2, "rectangle": 2, "mask": 2, "point": 1, "oriented_rectangle": 4}.get(kind)
    if (wanted is not None and len(points) != wanted) or len(points) < {"polygon": 3, "line": 2, "linestrip": 2}.get(
        kind, 1
    ):
        raise ValueError(f"{where} is a {kind} of {count_of(len(points), 'point')}")
    if kind in ("polygon", "oriented_rectangle"):
        return polygon(label, [[part for point in points for part in point]])
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points
        return polygon(label, [[x0, y0, x1, y0, x1, y1, x0, y1]])
    if kind == "circle":
        (x0, y0), (x1, y1) = points
        return polygon(label, [circle(x0, y0, ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5)])
    if kind in ("line", "linestrip"):
        return polygon(label, *thick_line(points, _LINE_WIDTH))
    if kind in ("point", "points"):
        return polygon(label, *([circle(x, y, _POINT_RADIUS)] for x, y in points))
    if kind == "mask":
        return Shape(label, "png", [int(points[0][0]), int(points[0][1]), str(shape["mask"])])
    raise ValueError(f"{where} is a {kind}, which is not known")


def _is_labelme(paths: Iterable[Path]) -> bool:
    return any(holds_all(path, _WORDS) for path in islice(paths, MOST_TRIED))


def _exported(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the folders that labelme's export of a JSON file made, from text files."""
    for names in paths:
        folder = names.parent
        if names.name == "label_names.txt" and all((folder / name).is_file() for name in ("img.png", "label.png")):
            yield folder


def _exported_item(folder: Path, root: Path) -> Item:
    """The item of an exported folder. Its values are numbered by its own label_names.txt, in which each picture may
    have other labels."""
    names = (folder / "label_names.txt").read_text(encoding="utf-8-sig", errors="replace").splitlines()
    mask = folder / "label.png"
    try:
        values = sorted(count_values(index_values(mask, open_mask(mask))))
    except DataError:
        values = []  # the check says what is wrong: reading it again fails in the same way
    label = {value: names[value] if value < len(names) else f"value {value}" for value in values}
    shapes = [Shape(name, "file", [0, value]) for value, name in label.items() if value or name != "_background_"]
    content = dump_shapes(Shapes(tuple(shapes)))
    return Item(
        _name(folder, root).removesuffix("_json"),
        folder / "img.png",
        Annotation(mask, folder / "img.png", content, (mask,)),
    )
