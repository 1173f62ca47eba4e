"""Label Studio's "Brush labels to PNG": a PNG for each label of each task, and the JSON export that says which picture
a task is about."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from atonce.data.annotation_shapes import Shape, Shapes, dump_shapes
from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, annotations_of, require_annotations
from atonce.data.images import IMAGE_SUFFIXES, Problem
from atonce.data.label_classes import Label, resolve_labels
from atonce.data.mask_sources import Annotation
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import no_mask
from atonce.data.picture_index import PictureIndex, annotation_files, entries_in, read_json, split_of, usual_files
from atonce.data.splits import complete_splits
from atonce.errors import DataError
from atonce.text import count_of, listing

_PNG = re.compile(
    r"task-(?P<task>\d+)-annotation-(?P<annotation>\d+)-by-(?P<by>[^-]*)-(?P<labels>.+)-(?P<count>\d+)\.png"
)
_UPLOAD = re.compile(r"[0-9a-f]{8}-")
"""The characters that Label Studio puts before the name of a picture that was uploaded."""


@dataclass(frozen=True)
class _Brush:
    path: Path
    task: int
    annotation: int
    labels: str


class LabelStudio(DatasetFormat):
    """Label Studio's brush PNGs: what is not black is of the label; of several annotations of a task the last counts.

    The PNGs are numbered by task: the project's JSON export beside them says which picture that is; without it pictures
    called after their task (7.jpg, task-7.jpg) are taken."""

    name = "label-studio"
    layout = "task-1-annotation-1-by-1-tag-LABEL-0.png, the pictures and the project's JSON export (Label Studio)"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        if any(_PNG.fullmatch(path.name) for path in usual_files(root, ".png")):
            return root
        # The PNGs in a folder of any name, as the archive was unpacked, beside the JSON export.
        there = entries_in(root)
        if not any(path.suffix.lower() == ".json" for path in there):
            return None
        names = (path.name for folder in there if folder.is_dir() for path in usual_files(folder, ".png", 0))
        return root if any(_PNG.fullmatch(name) for name in names) else None

    def find_deep(self, root: Path) -> Path | None:
        """See `DatasetFormat.find_deep`."""
        return root if any(_PNG.fullmatch(path.name) for path in annotation_files(root, ".png")) else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        by_task: defaultdict[int, list[_Brush]] = defaultdict(list)
        exported = _tasks(root)
        for path in annotation_files(root, ".png"):
            if match := _PNG.fullmatch(path.name):
                label = _label(match["labels"], exported.controls)
                by_task[int(match["task"])].append(_Brush(path, int(match["task"]), int(match["annotation"]), label))
        index = PictureIndex(root, [brush.path for brushes in by_task.values() for brush in brushes])
        splits: dict[str, list[Item]] = {}
        problems: list[Problem] = []
        several = []
        for task, brushes in sorted(by_task.items()):
            image = _picture(task, exported.pictures, index)
            if image is None:
                problems.append(_without_picture(task, brushes[0].path, exported.pictures))
                continue
            last = max(brush.annotation for brush in brushes)
            if len({brush.annotation for brush in brushes}) > 1:
                several.append(task)
            chosen = sorted((brush for brush in brushes if brush.annotation == last), key=lambda brush: brush.path)
            files = tuple(brush.path for brush in chosen)
            shapes = tuple(Shape(brush.labels, "file", [i, None]) for i, brush in enumerate(chosen))
            annotation = Annotation(files[0], image, dump_shapes(Shapes(shapes)), files)
            splits.setdefault(split_of(image, root), []).append(Item(image.stem, image, annotation))
        found = annotations_of(splits)
        require_annotations(root, found, problems, self.layout)
        notes = []
        if several:
            notes.append(
                f"{count_of(len(several), 'task')} annotated more than once, the last counts: {listing(several)}"
            )
        rest = index.rest(item.image for items in splits.values() for item in items)
        problems += [no_mask(path) for path in rest]
        labels = [Label(name) for name in sorted({brush.labels for brushes in by_task.values() for brush in brushes})]
        spec, reader, about_classes = resolve_labels(root, labels, found, classes=options.classes, numbers="its name")
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


@dataclass(frozen=True)
class _Tasks:
    """The JSON export: task -> its picture, as a path or URL, and the names of the labelling controls."""

    pictures: Mapping[int, str]
    controls: frozenset[str]


def _tasks(root: Path) -> _Tasks:
    """Read Label Studio's JSON or JSON-MIN exports."""
    pictures: dict[int, str] = {}
    controls: set[str] = set()
    for path in annotation_files(root, ".json"):
        try:
            data = read_json(path, "Label Studio's JSON export")
        except DataError:
            continue  # some other file
        for task in data if isinstance(data, list) else []:
            if isinstance(task, dict) and isinstance(task.get("id"), int):
                fields = task["data"] if isinstance(task.get("data"), dict) else task
                picture = next((value for value in fields.values() if _names_picture(value)), None)
                if picture is not None:
                    pictures[task["id"]] = picture
                controls |= set(_controls(task))
    return _Tasks(pictures, frozenset(controls))


def _names_picture(value: object) -> bool:
    return (
        isinstance(value, str)
        and PurePosixPath(unquote(value.partition("?d=")[2] or value)).suffix.lower() in IMAGE_SUFFIXES
    )


def _controls(task: Mapping[str, Any]) -> Iterator[str]:
    """Yield the from_name of all results of a task."""
    for annotation in task.get("annotations") or ():
        for result in annotation.get("result") or () if isinstance(annotation, dict) else ():
            if isinstance(result, dict) and isinstance(result.get("from_name"), str):
                yield result["from_name"]


def _label(text: str, controls: frozenset[str]) -> str:
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
