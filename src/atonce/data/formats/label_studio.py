"""Label Studio's JSON export, with the regions that were painted or drawn; and its "Brush labels to PNG": a PNG for
each label of each task, beside the JSON that says which picture a task is about."""

from __future__ import annotations

import base64
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from atonce.data.annotation_shapes import Shape, Shapes, dump_shapes, ellipse, labels_of, polygon
from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, annotations_of, require_annotations
from atonce.data.images import IMAGE_SUFFIXES, Problem
from atonce.data.label_classes import Label, resolve_labels
from atonce.data.mask_sources import Annotation
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import no_mask
from atonce.data.picture_index import (
    MISSHAPEN,
    MOST_TRIED,
    PictureIndex,
    annotation_files,
    entries_in,
    holds_all,
    read_json,
    reason_of,
    split_of,
    usual_files,
)
from atonce.data.splits import complete_splits
from atonce.errors import DataError
from atonce.text import count_of, listing

_PNG = re.compile(
    r"task-(?P<task>\d+)-annotation-(?P<annotation>\d+)-by-(?P<by>[^-]*)-(?P<labels>.+)-(?P<count>\d+)\.png"
)
_UPLOAD = re.compile(r"[0-9a-f]{8}-")
"""The characters that Label Studio puts before the name of a picture that was uploaded."""

_WORDS = (b'"original_width"', b'"image_rotation"')
"""Words that stand beside every region of a picture in the JSON exports."""

_EXPECTED = "Label Studio's JSON export"


@dataclass(frozen=True)
class _Brush:
    path: Path
    task: int
    annotation: int
    labels: str


class LabelStudio(DatasetFormat):
    """Label Studio: brush strokes, bitmasks, polygons and ellipses of the JSON export; where there are brush PNGs of a
    task, these, of which what is not black is of the label. Of several annotations of a task the last counts.

    The PNGs are numbered by task: the project's JSON export beside them says which picture that is; without it pictures
    called after their task (7.jpg, task-7.jpg) are taken."""

    name = "label-studio"
    layout = (
        "Label Studio's JSON export and the pictures, also with its PNGs (task-1-annotation-1-by-1-tag-LABEL-0.png)"
    )

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        if any(_PNG.fullmatch(path.name) for path in usual_files(root, ".png")) or _has_regions(
            usual_files(root, ".json")
        ):
            return root
        # The PNGs in a folder of any name, as the archive was unpacked, beside the JSON export.
        there = entries_in(root)
        if not any(path.suffix.lower() == ".json" for path in there):
            return None
        names = (path.name for folder in there if folder.is_dir() for path in usual_files(folder, ".png", 0))
        return root if any(_PNG.fullmatch(name) for name in names) else None

    def find_deep(self, root: Path) -> Path | None:
        """See `DatasetFormat.find_deep`."""
        pngs = any(_PNG.fullmatch(path.name) for path in annotation_files(root, ".png"))
        return root if pngs or _has_regions(annotation_files(root, ".json")) else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        by_task: defaultdict[int, list[_Brush]] = defaultdict(list)
        exported = _read_exports(root)
        for path in annotation_files(root, ".png"):
            if match := _PNG.fullmatch(path.name):
                label = _label(match["labels"], exported.controls)
                by_task[int(match["task"])].append(_Brush(path, int(match["task"]), int(match["annotation"]), label))
        index = PictureIndex(root, [brush.path for brushes in by_task.values() for brush in brushes])
        drawn = {task: one for task, one in exported.tasks.items() if one.shapes or one.problems or not by_task}
        splits: dict[str, list[Item]] = {}
        problems: list[Problem] = []
        several, empty = [], []
        for task in sorted({*by_task, *drawn}):
            brushes = by_task.get(task, [])
            path = brushes[0].path if brushes else drawn[task].path
            image = _picture(task, exported.pictures, index)
            if image is None:
                problems.append(_without_picture(task, path, exported.pictures))
                continue
            if brushes:
                annotation, annotations = _from_pngs(brushes, image)
            else:
                found = drawn[task]
                annotations = found.annotations
                annotation = Annotation(path, image, dump_shapes(Shapes(found.shapes, relative=True)))
                problems += found.problems
                empty += [] if found.shapes or found.problems else [image.name]
            if annotations > 1:
                several.append(task)
            splits.setdefault(split_of(image, root), []).append(Item(image.stem, image, annotation))
        found_annotations = annotations_of(splits)
        require_annotations(root, found_annotations, problems, self.layout)
        notes = []
        if several:
            notes.append(
                f"{count_of(len(several), 'task')} annotated more than once, the last counts: {listing(several)}"
            )
        if empty:
            some = count_of(len(empty), "picture has", "pictures have")
            notes.append(f"{some} no region, and nothing but background: {listing(empty)}")
        rest = index.rest(item.image for items in splits.values() for item in items)
        problems += [no_mask(path) for path in rest]
        names = {brush.labels for brushes in by_task.values() for brush in brushes} | labels_of(found_annotations)
        labels = [Label(name) for name in sorted(names)]
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
            notes=(*about_classes, *notes, *about_split),
            extras=extras,
        )


def _has_regions(paths: Iterable[Path]) -> bool:
    return any(holds_all(path, _WORDS) for path in islice(paths, MOST_TRIED))


def _from_pngs(brushes: list[_Brush], image: Path) -> tuple[Annotation, int]:
    """Return the annotation that the PNGs of a task are, and how many there are of it."""
    last = max(brush.annotation for brush in brushes)
    chosen = sorted((brush for brush in brushes if brush.annotation == last), key=lambda brush: brush.path)
    files = tuple(brush.path for brush in chosen)
    shapes = tuple(Shape(brush.labels, "file", [i, None]) for i, brush in enumerate(chosen))
    annotation = Annotation(files[0], image, dump_shapes(Shapes(shapes)), files)
    return annotation, len({brush.annotation for brush in brushes})


@dataclass(frozen=True)
class _Task:
    """One task of the JSON export that somebody has annotated.

    Attributes:
        path: the file.
        annotations: how many there are of it.
        shapes: those of the last one; polygons in shares of width and height.
        problems: regions that are no shapes.
    """

    path: Path
    annotations: int
    shapes: tuple[Shape, ...]
    problems: tuple[Problem, ...]


@dataclass
class _Exports:
    """The JSON exports.

    Attributes:
        pictures: task -> its picture, as a path or URL.
        controls: names of the labelling controls.
        tasks: task -> its regions, where it was annotated.
    """

    pictures: dict[int, str] = field(default_factory=dict)
    controls: set[str] = field(default_factory=set)
    tasks: dict[int, _Task] = field(default_factory=dict)


def _read_exports(root: Path) -> _Exports:
    """Read Label Studio's JSON and JSON-MIN exports."""
    exports = _Exports()
    for path in annotation_files(root, ".json"):
        try:
            data = read_json(path, _EXPECTED)
        except DataError:
            if holds_all(path, _WORDS):
                raise
            continue  # some other file
        annotated: defaultdict[int, list[tuple[int, list[dict[str, Any]]]]] = defaultdict(list)
        for task in data if isinstance(data, list) else []:
            if isinstance(task, dict) and isinstance(task.get("id"), int):
                fields = task["data"] if isinstance(task.get("data"), dict) else task
                picture = next((value for value in fields.values() if _names_picture(value)), None)
                if picture is not None:
                    exports.pictures[task["id"]] = picture
                annotated[task["id"]] += _annotations(task)
        for number, found in annotated.items():
            named = [result.get("from_name") for _, results in found for result in results]
            exports.controls |= {name for name in named if isinstance(name, str)}
            if found:
                shapes, problems = _shapes(path, number, _last(found))
                exports.tasks[number] = _Task(path, len(found), shapes, problems)
    return exports


def _regions(results: object) -> list[dict[str, Any]]:
    return [one for one in results if isinstance(one, dict)] if isinstance(results, list) else []


def _last(annotations: Sequence[tuple[int, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Return the results of the annotation with the largest number; of several with one number, of the last."""
    return max(enumerate(annotations), key=lambda one: (one[1][0], one[0]))[1][1]


def _annotations(task: Mapping[str, Any]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield the annotations of a task, each as its number and its results; skipped ones are none."""
    if "annotations" in task:
        there = task["annotations"]
        for annotation in there if isinstance(there, list) else ():
            if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
                results = annotation.get("result")
                number = annotation.get("id")
                yield number if isinstance(number, int) else 0, _regions(results)
    elif "annotation_id" in task or "annotator" in task:
        # JSON-MIN: a list for each control, whose entries are the values themselves.
        entries = [one for value in task.values() if isinstance(value, list) for one in value if isinstance(one, dict)]
        number = task.get("annotation_id")
        yield number if isinstance(number, int) else 0, [{**one, "value": one} for one in entries]


def _shapes(path: Path, task: int, results: list[dict[str, Any]]) -> tuple[tuple[Shape, ...], tuple[Problem, ...]]:
    """Make shapes of the regions in the results of an annotation."""
    named: dict[Any, list[str]] = {}
    regions: dict[Any, dict[str, Any]] = {}
    for i, result in enumerate(results):
        value = result.get("value")
        if "original_width" not in result or not isinstance(value, dict):
            continue  # choices, texts, ratings: nothing of the picture's pixels
        # A region and its labels may be two results of one id.
        number = result.get("id")
        key = number if isinstance(number, (str, int)) else (i,)
        for control, found in value.items():
            if control.endswith("labels") and isinstance(found, list):
                named.setdefault(key, []).extend(name for name in map(str, found) if name not in named.get(key, ()))
        if key not in regions or not _KNOWN.isdisjoint(value):
            regions[key] = result
    shapes: list[Shape] = []
    wrong: Counter[tuple[str, str]] = Counter()
    for key, result in regions.items():
        labels = named.get(key, [])
        try:
            if len(labels) != 1:
                raise _NoShapeError(f"with {count_of(len(labels), 'label')}")
            shapes.append(_shape(labels[0], result))
        except _NoShapeError as error:
            wrong[error.noun, error.about] += 1
        except MISSHAPEN as error:
            wrong["region", f" that cannot be read ({reason_of(error)})"] += 1
    problems = []
    for (noun, about), count in wrong.items():
        found = f"has {count_of(count, noun)}{about} in task {task}"
        remedy = "correct it there, and export again"
        if noun == "rectangle":
            remedy = "a box says nothing of the pixels in it: draw brush strokes or polygons"
        problems.append(Problem("values", path, found, "strokes, polygons or ellipses of one label", remedy=remedy))
    return tuple(shapes), tuple(problems)


class _NoShapeError(Exception):
    """A region that is no shape: what it is instead, as a noun that is counted, and what is said about it."""

    def __init__(self, about: str = "", noun: str = "region") -> None:
        super().__init__(f"{noun} {about}")
        self.noun, self.about = noun, about and f" {about}"


_KNOWN = frozenset({"rle", "imageDataURL", "points", "vertices", "radiusX", "width"})
"""Keys that say where a region is."""


def _shape(label: str, result: Mapping[str, Any]) -> Shape:
    """Make a shape of a region. Raises _NoShapeError, or KeyError, TypeError, ValueError where something is missing."""
    value, width, height = result["value"], int(result["original_width"]), int(result["original_height"])
    if result.get("image_rotation"):
        raise _NoShapeError("of a turned picture")
    if "rle" in value:
        if not isinstance(value["rle"], list):
            raise ValueError("a code that is no list of bytes")
        return Shape(label, "brush", [height, width, base64.b64encode(bytes(value["rle"])).decode()])
    if "imageDataURL" in value:
        code = str(value["imageDataURL"]).partition("base64,")[2]
        return Shape(label, "png", [0, 0, code])
    if "points" in value:
        ring = [float(part) / 100 for point in value["points"] for part in point]
        if len(ring) < 6:
            raise _NoShapeError(f"of {count_of(len(ring) // 2, 'point')}", "polygon")
        return polygon(label, [ring])
    if "radiusX" in value:
        share = (width / 100, height / 100)
        radii = (float(value["radiusX"]) * share[0], float(value["radiusY"]) * share[1])
        x, y = float(value["x"]) * share[0], float(value["y"]) * share[1]
        turned = ellipse(x, y, radii, float(value.get("rotation", 0)))
        return polygon(label, [[part / (height if i % 2 else width) for i, part in enumerate(turned)]])
    if "width" in value:
        raise _NoShapeError(noun="rectangle")
    raise _NoShapeError(f"of type {result.get('type', '?')}")


def _names_picture(value: object) -> bool:
    return (
        isinstance(value, str)
        and PurePosixPath(unquote(value.partition("?d=")[2] or value)).suffix.lower() in IMAGE_SUFFIXES
    )


def _label(text: str, controls: set[str]) -> str:
    """The label of a PNG's name, which begins with the name of the control ("tag-road")."""
    for control in sorted(controls, key=len, reverse=True):
        if text.startswith(f"{control}-"):
            return text.removeprefix(f"{control}-")
    return text.partition("-")[2] or text


def _picture(task: int, pictures: Mapping[int, str], index: PictureIndex) -> Path | None:
    if task in pictures:
        path = pictures[task]
        name = unquote(path.partition("?d=")[2] or path)
        found = index.find(name)
        if found is None:
            base = name.rpartition("/")[2]
            found = index.find(_UPLOAD.sub("", base, count=1)) if _UPLOAD.match(base) else None
        return found
    if pictures:
        return None
    called = [path for path in index.paths if path.stem in (str(task), f"task-{task}", f"task_{task}")]
    return called[0] if len(called) == 1 else None


def _without_picture(task: int, path: Path, pictures: Mapping[int, str]) -> Problem:
    if task in pictures:
        found = f"is of task {task}, whose picture {pictures[task]} is not there"
        return Problem("missing", path, found, remedy="copy the pictures below the data set")
    found = f"is of task {task}, and nothing says which picture that is"
    return Problem(
        "unpaired", path, found, "the project's JSON export", remedy="export it as JSON, too, and put it there"
    )
