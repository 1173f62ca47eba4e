"""Pascal VOC 2012 segmentation (Everingham et al.), with the SBD annotations (Hariharan et al. 2011) as PNG."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from atonce.data.dataset import Dataset, Item
from atonce.data.images import Problem
from atonce.data.masks import ClassMask
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import list_lines
from atonce.data.splits import split_items
from atonce.errors import DataError, option
from atonce.labels import IGNORE_INDEX, Colour, LabelSpec
from atonce.text import listing

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


class Voc:
    """Pascal VOC: lists in ImageSets/Segmentation say what is trained on; validation pictures are never left in
    training."""

    name = "voc"
    layout = "JPEGImages/ SegmentationClass/ ImageSets/Segmentation/train.txt, val.txt (VOC2012)"
    options: frozenset[str] = frozenset()

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
            masks = (folder / "SegmentationClass").is_dir() or (folder / "SegmentationClassAug").is_dir()
            if masks and (folder / "JPEGImages").is_dir() and (folder / "ImageSets" / "Segmentation").is_dir():
                return folder
        return None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        problems: list[Problem] = []
        notes: list[str] = []
        extras: dict[str, str] = {}
        splits: dict[str, tuple[Item, ...]] = {}
        for split, names in (("train", _TRAIN_LISTS), ("val", _VAL_LISTS), ("test", ("test",))):
            path = _first_list(root, names)
            if path is not None:
                items, found = _from_list(root, path, with_masks=split != "test")
                splits[split] = items
                problems += found
                notes += [f"{split}: {path.name}, {len(items)} pictures"]
        if "train" not in splits and (path := _first_list(root, ("trainval",))) is not None:
            items, found = _from_list(root, path, with_masks=True)
            problems += found
            if "val" in splits:
                splits["train"] = items
            else:
                splits, notes, extras = split_items(items, options)
        if not splits:
            lists = root / "ImageSets" / "Segmentation"
            raise DataError(
                f"{lists} has no lists", "train.txt and val.txt", "unpack VOCtrainval_11-May-2012.tar again"
            )
        _drop_val_from_train(splits, notes)
        return Dataset(
            format=self.name,
            root=root,
            labels=LABELS,
            splits=splits,
            read_mask=READ_MASK,
            problems=tuple(problems),
            notes=tuple(notes),
            extras=extras,
        )


def _first_list(root: Path, names: tuple[str, ...]) -> Path | None:
    folder = root / "ImageSets" / "Segmentation"
    return next((folder / f"{name}.txt" for name in names if (folder / f"{name}.txt").is_file()), None)


def _from_list(root: Path, path: Path, *, with_masks: bool) -> tuple[tuple[Item, ...], list[Problem]]:
    """Read lines of a stem ("2007_000032"), or of "/JPEGImages/x.jpg /SegmentationClassAug/x.png"."""
    items: dict[str, Item] = {}
    problems: list[Problem] = []
    for number, words in list_lines(path):
        if len(words) > 2:
            problems.append(Problem("list", path, f"line {number} holds {len(words)} names", "a stem, or two files"))
            continue
        item = _item(root, words, with_masks=with_masks)
        files = [file for file in (item.image, item.mask) if file is not None]
        missing = [file for file in files if not file.is_file()]
        for file in missing:
            found = f"does not exist, but line {number} of {path.name} lists it"
            problems.append(Problem("missing", file, found, remedy="copy it there, or take the line out"))
        if item.name in items:
            found = f"line {number} lists {item.name} a second time"
            problems.append(Problem("duplicate", path, found, remedy="take the line out"))
        elif not missing:
            items[item.name] = item
    return tuple(items[name] for name in sorted(items)), problems


def _item(root: Path, words: list[str], *, with_masks: bool) -> Item:
    name = PurePosixPath(words[0]).stem
    image = root / "JPEGImages" / f"{name}.jpg"
    if not with_masks:
        return Item(name, image)
    if len(words) == 2:
        return Item(name, image, root.joinpath(*PurePosixPath(words[1]).parts[-2:]))
    own, extra = root / "SegmentationClass" / f"{name}.png", root / "SegmentationClassAug" / f"{name}.png"
    # VOC's own annotation is the finer one; SBD's is for pictures that VOC did not segment.
    return Item(name, image, extra if extra.is_file() and not own.is_file() else own)


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
