"""YOLO polygons as Ultralytics trains on: a text file for each picture, a line for each polygon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from atonce.data.annotation_shapes import Shape, Shapes, dump_shapes, labels_of, polygon
from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, annotations_of, require_annotations
from atonce.data.formats.data_yaml import DataYaml, file_beside, find_data_yaml, read_data_yaml, without_data_yaml
from atonce.data.images import Problem
from atonce.data.label_classes import Label, resolve_labels
from atonce.data.mask_sources import Annotation
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import sample_name
from atonce.data.picture_index import usual_files
from atonce.data.splits import complete_splits
from atonce.errors import DataError
from atonce.text import count_of, listing

_TRIED = 200
"""Label files that are looked at to recognise the layout."""

_BOX = 4


class Yolo(DatasetFormat):
    """YOLO: images/train/x.jpg has labels/train/x.txt, with lines "class x y x y ..." in shares of width and height; a
    picture without a file shows nothing but background."""

    name = "yolo"
    layout = "images/train/ labels/train/*.txt with polygons, and data.yaml or classes.txt (Ultralytics)"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        return root if next(_label_files(root), None) is not None else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        data = _data(root)
        problems: list[Problem] = []
        notes = list(data.notes)
        splits: dict[str, list[Item]] = {}
        polygons = boxes = 0
        files: set[Path] = set()
        for split, pictures, found in data.pictures():
            problems += found
            empty = []
            for key, image in sorted(pictures.items()):
                path = _label_file(image, root)
                files.add(path)
                shapes, box_count, wrong = _read(path, data)
                polygons, boxes = polygons + len(shapes), boxes + box_count
                problems += wrong
                if not shapes:
                    empty.append(image.name)
                content = dump_shapes(Shapes(tuple(shapes), relative=True))
                splits.setdefault(split, []).append(Item(sample_name(key), image, Annotation(path, image, content)))
            if empty:
                some = count_of(len(empty), "picture has", "pictures have")
                notes.append(f"{split or 'all'}: {some} no polygon, and nothing but background: {listing(empty)}")
        problems += _without_picture(files)
        if boxes and not polygons:
            raise DataError(
                f"the labels in {root} are boxes (4 numbers), as for detection",
                "polygons, a class and x, y of three corners or more in each line",
                "export them for segmentation",
            )
        found_annotations = annotations_of(splits)
        require_annotations(root, found_annotations, problems, "train: and val: in data.yaml, or images/ and labels/")
        labels = [Label(name, number) for number, name in sorted(data.names.items())]
        # Without names the classes are called after their numbers.
        labels = labels or sorted(
            (Label(name, int(name.removeprefix("class "))) for name in labels_of(found_annotations)),
            key=lambda label: label.number or 0,
        )
        spec, reader, about_classes = resolve_labels(
            root, labels, found_annotations, classes=options.classes, numbers="its number"
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
            notes=(*about_classes, *notes, *about_split),
            extras=extras,
        )


def _data(root: Path) -> DataYaml:
    """Read data.yaml, or classes.txt (Label Studio) beside images/ and labels/."""
    path = find_data_yaml(root)
    if path is not None:
        return read_data_yaml(path)
    classes = root / "classes.txt"
    lines = classes.read_text(encoding="utf-8-sig", errors="replace").splitlines() if classes.is_file() else []
    return without_data_yaml(root, dict(enumerate(line.strip() for line in lines if line.strip())))


def _label_file(image: Path, root: Path) -> Path:
    """The file of a picture; Label Studio writes spaces and the like as in a URL."""
    path = file_beside(image, root, "labels", (".txt",))
    quoted = path.with_name(quote(path.stem) + path.suffix)
    return quoted if quoted.is_file() and not path.is_file() else path


def _without_picture(files: set[Path]) -> list[Problem]:
    """A problem for each file, in the folders of those that belong to pictures, that belongs to none: else it would go
    unseen, since a picture without a file is background."""
    rest = [
        path
        for folder in sorted({path.parent for path in files})
        if folder.is_dir() and folder.name.lower() != "images"
        for path in sorted(folder.glob("*.txt"))
        if path not in files and path.name != "classes.txt"
    ]
    remedy = "add it, or remove the labels"
    return [Problem("unpaired", path, "has no picture", f"a picture named {path.stem}", remedy=remedy) for path in rest]


def _label_files(root: Path) -> Iterator[Path]:
    """Yield text files in folders called labels that hold YOLO's lines, of the first that there are."""
    for tried, path in enumerate(usual_files(root, ".txt")):
        if tried >= _TRIED:
            return
        if "labels" in (part.lower() for part in path.relative_to(root).parts[:-1]):
            first = path.read_text(encoding="utf-8-sig", errors="replace").partition("\n")[0]
            if _parse(first) is not None:
                yield path


def _parse(line: str) -> tuple[int, list[float]] | None:
    """A line's class index and numbers, four of a box or more of a polygon; None where it is no line of YOLO's."""
    try:
        index, *numbers = line.split()
        parsed = int(index), [float(number) for number in numbers]
    except ValueError:
        return None
    return parsed if len(numbers) == _BOX or (len(numbers) >= 6 and len(numbers) % 2 == 0) else None


def _read(path: Path, data: DataYaml) -> tuple[list[Shape], int, list[Problem]]:
    """Read a picture's file: polygons, the number of boxes, and what is wrong; nothing where there is no file."""
    if not path.is_file():
        return [], 0, []
    shapes: list[Shape] = []
    boxes, problems = 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        parsed = _parse(line)
        if parsed is None:
            found = f"holds '{line.strip()[:40]}' in line {number}"
            expected = "a class and x, y of three corners or more"
            problems.append(Problem("values", path, found, expected, remedy="export the labels again"))
        elif len(parsed[1]) == _BOX:
            boxes += 1
        else:
            shapes.append(polygon(data.names.get(parsed[0], f"class {parsed[0]}"), [parsed[1]]))
    if boxes and shapes:
        found = f"holds {count_of(boxes, 'box', 'boxes')} (4 numbers) among polygons"
        remedy = "a box says nothing of the pixels in it: draw polygons"
        problems.append(Problem("values", path, found, "polygons", remedy=remedy))
    return shapes, boxes, problems
