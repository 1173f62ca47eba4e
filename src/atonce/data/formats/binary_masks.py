"""One binary mask for each class: masks/road/0.png, masks/car/0.png of the picture images/0.jpg."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from atonce.data.annotation_shapes import Shape, Shapes, dump_shapes
from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, annotations_of, require_annotations
from atonce.data.formats.folder import split_folders
from atonce.data.images import Problem
from atonce.data.label_classes import Label, LayoutWords, resolve_labels
from atonce.data.mask_sources import Annotation
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import images_in, masks_in, no_mask, pair, sample_name
from atonce.data.picture_index import entries_in
from atonce.data.splits import complete_splits

_WORDS = LayoutWords("the names of the folders of masks", "mask")


class BinaryMasks(DatasetFormat):
    """One mask for each class, in folders called after the classes: what is not black is of the class. A picture that
    lacks the mask of a class does not show it; one that lacks all of them was not annotated."""

    name = "binary-masks"
    layout = "images/ masks/CLASS/, with one black and white mask for each picture and class"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        folders = [(images, masks) for images, masks in split_folders(root).values() if masks is not None]
        return root if folders and all(_is_by_class(images, masks) for images, masks in folders) else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        problems: list[Problem] = []
        notes: list[str] = []
        splits: dict[str, tuple[Item, ...]] = {}
        names: set[str] = set()
        for split, (images, masks) in split_folders(root).items():
            if masks is None:
                pictures, found = images_in(images)
                splits[split] = tuple(Item(sample_name(key), path) for key, path in sorted(pictures.items()))
            else:
                splits[split], found, remarks = _items(images, masks)
                names |= {folder.name for folder in _class_folders(masks)}
                notes += [f"{split}: {remark}" if split else remark for remark in remarks]
            problems += found
        found_annotations = annotations_of(splits)
        require_annotations(root, found_annotations, problems, self.layout)
        labels = [Label(name) for name in sorted(names)]
        spec, reader, about_classes = resolve_labels(
            root, labels, found_annotations, classes=options.classes, numbers="its name", words=_WORDS
        )
        made, about_split, extras = complete_splits(splits, options)
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


def _class_folders(masks: Path) -> list[Path]:
    return [path for path in entries_in(masks) if path.is_dir()]


def _is_by_class(images: Path, masks: Path) -> bool:
    """Tell whether a folder of masks holds nothing but folders of masks, and the pictures are not in such folders."""
    folders = _class_folders(masks)
    if not folders or any(path.is_file() for path in entries_in(masks)):
        return False
    if any((images / folder.name).exists() for folder in folders):
        return False
    pictures = images_in(images)[0]
    return all(pair(pictures, images_in(folder)[0]).pairs for folder in folders)


def _items(images: Path, masks: Path) -> tuple[tuple[Item, ...], list[Problem], list[str]]:
    pictures, problems = images_in(images)
    of_picture: defaultdict[str, list[tuple[str, Path]]] = defaultdict(list)
    notes: list[str] = []
    for folder in _class_folders(masks):
        files, mask_problems = masks_in(folder)
        pairing = pair(pictures, files)
        problems += mask_problems
        problems += [problem for problem in pairing.problems if problem.path not in pictures.values()]
        notes += [note for note in pairing.notes if note not in notes]
        for key, _, mask in pairing.pairs:
            of_picture[key].append((folder.name, mask))
    items = []
    for key, image in sorted(pictures.items()):
        if key not in of_picture:
            problems.append(no_mask(image))
            continue
        files_of = tuple(path for _, path in of_picture[key])
        shapes = tuple(Shape(name, "file", [i, None]) for i, (name, _) in enumerate(of_picture[key]))
        content = dump_shapes(Shapes(shapes))
        items.append(Item(sample_name(key), image, Annotation(files_of[0], image, content, files_of)))
    return tuple(items), problems, notes
