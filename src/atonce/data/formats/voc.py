"""Pascal VOC 2012 segmentation (Everingham et al.), with the SBD annotations (Hariharan et al. 2011) as PNG; and own
classes in its layout, as CVAT ("Segmentation mask 1.1") and labelme export them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from atonce.data.builtin_classes import BuiltInClasses
from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, mask_files
from atonce.data.images import IMAGE_SUFFIXES, Problem
from atonce.data.masks import ClassMask
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import ListLine, images_in, list_lines, listed_file, masks_in, pair, sample_name
from atonce.data.splits import complete_splits, split_called, split_items
from atonce.errors import DataError, option
from atonce.labels import IGNORE_INDEX, Colour, LabelSpec
from atonce.text import count_of, listing

_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_BORDER: Colour = (224, 224, 192)

# In order of preference. seg11valid is the FCN authors' list: the validation pictures that SBD does not train on.
_TRAIN_LISTS = ("train_aug", "trainaug", "train")
_VAL_LISTS = ("seg11valid", "val")


def voc_colour(index: int) -> Colour:
    """Compute a colour of VOC's colour map (VOCcolormap of the devkit): the bits of the index are dealt out to r, g, b
    from the top."""
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]


LABELS = LabelSpec(_NAMES, tuple(voc_colour(i) for i in range(len(_NAMES))))

READ_MASK = ClassMask(
    values=(*((i, i) for i in range(len(_NAMES))), (IGNORE_INDEX, IGNORE_INDEX)),
    colours=(*((colour, i) for i, colour in enumerate(LABELS.palette)), (_BORDER, IGNORE_INDEX)),
    remedy=f"these are not VOC's 21 classes: use {option('format', 'folder')} with a classes.yaml",
)

CLASSES = BuiltInClasses("Pascal VOC", "voc", LABELS, READ_MASK, r"\d{4}_\d{6}")

_PICTURES = ("JPEGImages", "images", "Images", "PNGImages")
_MASKS = ("SegmentationClass", "SegmentationClassPNG", "SegmentationClassAug")


class Voc(DatasetFormat):
    """Pascal VOC: lists in ImageSets/Segmentation say what is trained on; validation pictures are never left in
    training."""

    name = "voc"
    layout = "JPEGImages/ SegmentationClass/ ImageSets/Segmentation/train.txt, val.txt (VOC2012)"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
            masks = (folder / "SegmentationClass").is_dir() or (folder / "SegmentationClassAug").is_dir()
            if masks and (folder / "JPEGImages").is_dir() and (folder / "ImageSets" / "Segmentation").is_dir():
                return folder
        return None

    def fits(self, root: Path) -> bool:
        """See `DatasetFormat.fits`: the classes are VOC's."""
        folders = [root / name for name in _MASKS if (root / name).is_dir()]
        masks = [mask for folder in folders for mask in images_in(folder)[0].values()]
        return CLASSES.recognise(root, masks)

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        files = _Files(root)
        problems: list[Problem] = []
        notes: list[str] = []
        extras: dict[str, str] = {}
        splits: dict[str, tuple[Item, ...]] = {}
        for split, names in (("train", _TRAIN_LISTS), ("val", _VAL_LISTS), ("test", ("test",))):
            path = _first_list(root, names)
            if path is not None:
                items, found = _from_list(files, path, with_masks=split != "test")
                splits[split] = items
                problems += found
                notes += [f"{split}: {path.name}, {count_of(len(items), 'picture')}"]
        if "train" not in splits and (path := _first_list(root, ("trainval",))) is not None:
            items, found = _from_list(files, path, with_masks=True)
            problems += found
            if "val" in splits:
                splits["train"] = items
            else:
                splits, notes, extras = split_items(items, options)
        if not splits:
            raise _no_lists(root / "ImageSets" / "Segmentation")
        _drop_val_from_train(splits, notes)
        insist = options.format == CLASSES.format
        labels, reader, about_classes = CLASSES.resolve(root, mask_files(splits), options.classes, insist=insist)
        return Dataset(
            format=self.name,
            root=root,
            labels=labels,
            splits=splits,
            read_mask=reader,
            problems=tuple(problems),
            notes=(*notes, *about_classes),
            extras=extras,
        )


class VocLayout(DatasetFormat):
    """Own classes in VOC's layout: any lists in ImageSets/Segmentation, called after a split or not; without lists
    pictures and masks pair by name."""

    name = "voc-layout"
    layout = "JPEGImages/ SegmentationClass/ and labelmap.txt, class_names.txt or a classes.yaml (CVAT, labelme)"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        return root if any((root / name).is_dir() for name in _MASKS) else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        files = _Files(root)
        problems = [*files.problems]
        notes: list[str] = []
        splits: dict[str, tuple[Item, ...]] = {}
        lists = sorted((root / "ImageSets" / "Segmentation").glob("*.txt"))
        # A list of all pictures beside lists of splits says nothing more.
        called = [path for path in lists if split_called(path.stem)]
        for path in called or lists:
            split = split_called(path.stem)
            items, found = _from_list(files, path, with_masks=split != "test" or files.has_masks(path))
            splits[split] = (*splits.get(split, ()), *items)
            problems += found
        if called and len(called) < len(lists):
            notes.append(f"not read: {listing(path.name for path in lists if path not in called)}")
        if lists:
            listed = {item.image for items in splits.values() for item in items}
            rest = sorted(key for key, path in files.pictures.items() if path not in listed and key in files.masks)
            what = count_of(len(rest), "picture with a mask", "pictures with masks")
            notes += [f"{what} in no list, left out: {listing(rest)}"] if rest else []
        else:
            found_pairs = pair(files.pictures, files.masks)
            splits[""] = tuple(Item(sample_name(key), image, mask) for key, image, mask in found_pairs.pairs)
            problems += found_pairs.problems
            notes += found_pairs.notes
        splits = {split: _once(items) for split, items in splits.items()}
        insist = options.format == CLASSES.format
        labels, reader, about_classes = CLASSES.resolve(root, mask_files(splits), options.classes, insist=insist)
        made, notes_of_split, extras = complete_splits(splits, options)
        _drop_val_from_train(made, notes)
        return Dataset(
            format=self.name,
            root=root,
            labels=labels,
            splits=made,
            read_mask=reader,
            problems=tuple(problems),
            notes=(*notes, *about_classes, *notes_of_split),
            extras=extras,
        )


class _Files:
    """The pictures and masks of a folder in VOC's layout, by key.

    Attributes:
        pictures, masks: path without suffix, below their folders -> path. VOC's own annotation is the finer one; SBD's
            is for pictures that VOC did not segment.
        problems: what is wrong with the files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        pictures = next((root / name for name in _PICTURES if (root / name).is_dir()), None)
        if pictures is None:
            raise DataError(
                f"{root} holds masks, but no pictures",
                f"them in {root / _PICTURES[0]}",
                "export again with pictures (CVAT: 'Save images'), put them there, or name their folder with "
                f"{option('images')}",
            )
        self.pictures, self.problems = images_in(pictures)
        self.masks: dict[str, Path] = {}
        for name in _MASKS:
            if (root / name).is_dir():
                found, problems = masks_in(root / name)
                self.problems += problems if found else []
                self.masks = {**found, **self.masks}

    def item(self, line: ListLine, *, with_masks: bool) -> Item:
        """The item of a line: a stem ("2007_000032"), or "/JPEGImages/x.jpg /SegmentationClassAug/x.png".

        Args:
            with_masks: an item has a mask, if only one that is not there.
        """
        key = line.text.strip('"')
        if key not in self.pictures:
            key = line.names[0]
        if key not in self.pictures and PurePosixPath(key).suffix.lower() in IMAGE_SUFFIXES:
            key = PurePosixPath(key).with_suffix("").as_posix()
        if key not in self.pictures and PurePosixPath(key).name in self.pictures:
            key = PurePosixPath(key).name
        image = self.pictures.get(key, self.root / "JPEGImages" / f"{key}.jpg")
        name = sample_name(key)
        if len(line.names) == 2 and line.text.strip('"') != key:
            return Item(name, image, listed_file(self.root, line.names[1]) if with_masks else None)
        return Item(
            name, image, self.masks.get(key, self.root / "SegmentationClass" / f"{key}.png") if with_masks else None
        )

    def has_masks(self, path: Path) -> bool:
        """Tell whether any picture of a list has a mask: test pictures may have none."""
        items = (self.item(line, with_masks=True) for line in list_lines(path))
        return any(item.mask_file is not None and item.mask_file.is_file() for item in items)


def _first_list(root: Path, names: tuple[str, ...]) -> Path | None:
    folder = root / "ImageSets" / "Segmentation"
    return next((folder / f"{name}.txt" for name in names if (folder / f"{name}.txt").is_file()), None)


def _no_lists(folder: Path) -> DataError:
    others = sorted(path.name for path in folder.glob("*.txt"))
    if others:
        remedy = f"{option('format', VocLayout.name)} reads any lists"
        return DataError(f"{folder} holds {listing(others)}", "train.txt and val.txt", remedy)
    return DataError(f"{folder} has no lists", "train.txt and val.txt", "unpack VOCtrainval_11-May-2012.tar again")


def _from_list(files: _Files, path: Path, *, with_masks: bool) -> tuple[tuple[Item, ...], list[Problem]]:
    items: dict[str, Item] = {}
    problems: list[Problem] = []
    for line in list_lines(path):
        if len(line.names) > 2 and line.text not in files.pictures:
            found = f"line {line.number} holds {len(line.names)} names"
            problems.append(Problem("list", path, found, "a stem, or two files"))
            continue
        item = files.item(line, with_masks=with_masks)
        missing = [file for file in (item.image, item.mask_file) if file is not None and not file.is_file()]
        for file in missing:
            found = f"does not exist, but line {line.number} of {path.name} lists it"
            problems.append(Problem("missing", file, found, remedy="copy it there, or take the line out"))
        if item.name in items:
            found = f"line {line.number} lists {item.name} a second time"
            problems.append(Problem("duplicate", path, found, remedy="take the line out"))
        elif not missing:
            items[item.name] = item
    return tuple(items[name] for name in sorted(items)), problems


def _once(items: Iterable[Item]) -> tuple[Item, ...]:
    """Items sorted by name; a picture that two lists of one split name is taken once."""
    by_name: Mapping[str, Item] = {item.name: item for item in items}
    return tuple(by_name[name] for name in sorted(by_name))


def _drop_val_from_train(splits: dict[str, tuple[Item, ...]], notes: list[str]) -> None:
    """Take validation pictures out of the training list: some lists of SBD hold them, and training on them would make
    the scores worthless."""
    val = {item.name for item in splits.get("val", ())}
    both = sorted(item.name for item in splits.get("train", ()) if item.name in val)
    if both:
        splits["train"] = tuple(item for item in splits["train"] if item.name not in val)
        notes.append(
            f"{len(both)} validation pictures were in the training list and are not trained on: {listing(both)}"
        )
