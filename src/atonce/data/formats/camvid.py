"""CamVid as the SegNet tutorial distributes it (Brostow et al. 2009; Kendall, Badrinarayanan, Cipolla), and own classes
in its layout, as CVAT exports them."""

from __future__ import annotations

from pathlib import Path

from atonce.data.builtin_classes import BuiltInClasses
from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, mask_files
from atonce.data.images import Problem
from atonce.data.masks import ClassMask
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import images_in, list_lines, listed_file, masks_in, pair, sample_name
from atonce.data.picture_index import entries_in
from atonce.data.splits import SPLITS, complete_splits, split_called
from atonce.errors import option
from atonce.labels import CAMVID, IGNORE_INDEX
from atonce.text import count_of, listing

_VOID = 11

READ_MASK = ClassMask(
    values=(*((i, i) for i in range(CAMVID.num_classes)), (_VOID, IGNORE_INDEX), (IGNORE_INDEX, IGNORE_INDEX)),
    colours=(*((colour, i) for i, colour in enumerate(CAMVID.palette)), ((0, 0, 0), IGNORE_INDEX)),
    remedy=f"these are not CamVid's eleven classes: use {option('format', 'folder')} with a classes.yaml",
)

CLASSES = BuiltInClasses("CamVid", "camvid", CAMVID, READ_MASK, r"(\d{4}(TP|R0|E5)|Seq\d{2}VD)_f?\d+(_L)?")


class CamVidLayout(DatasetFormat):
    """Own classes in CamVid's layout: NAME.txt lists pairs; without lists, what NAME/ and NAMEannot/ hold is paired by
    name. NAME is a split, or anything ("default")."""

    name = "camvid-layout"
    layout = "train/ trainannot/ (or default/ defaultannot/) and label_colors.txt or a classes.yaml"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        return root if _subsets(root) else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        splits: dict[str, tuple[Item, ...]] = {}
        problems: list[Problem] = []
        notes: list[str] = []
        for subset in _subsets(root):
            listed = (root / f"{subset}.txt").is_file()
            items, found, remarks = _from_list(root, subset) if listed else _from_folders(root, subset)
            split = split_called(subset)
            splits[split] = tuple(sorted((*splits.get(split, ()), *items), key=lambda item: item.name))
            problems += found
            notes += remarks
        insist = options.format == CLASSES.format
        labels, reader, about_classes = CLASSES.resolve(root, mask_files(splits), options.classes, insist=insist)
        made, notes_of_split, extras = complete_splits(splits, options)
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


class CamVid(CamVidLayout):
    """CamVid: train.txt and val.txt list pairs; without lists, what train/ and trainannot/ hold is paired by name."""

    name = "camvid"
    layout = "train/ trainannot/ val/ valannot/ (and train.txt, val.txt)"

    def fits(self, root: Path) -> bool:
        """See `DatasetFormat.fits`: the classes are CamVid's."""
        folders = [folder for subset in _subsets(root) if (folder := root / f"{subset}annot").is_dir()]
        return CLASSES.recognise(root, [mask for folder in folders for mask in images_in(folder)[0].values()])


def _subsets(root: Path) -> list[str]:
    """The names of the folders that have a folder of masks; of the usual splits those without masks, or with a list
    alone, too."""
    folders = {path.name for path in entries_in(root) if path.is_dir()}
    with_masks = {name for name in folders if f"{name}annot" in folders}
    usual = [name for name in SPLITS if name in folders or (root / f"{name}.txt").is_file()]
    return [*usual, *sorted(with_masks - set(usual))] if with_masks else []


def _from_folders(root: Path, split: str) -> tuple[list[Item], list[Problem], list[str]]:
    images, problems = images_in(root / split)
    if split == "test" and not (root / "testannot").is_dir():
        return [Item(sample_name(key), path) for key, path in images.items()], problems, []
    masks, mask_problems = masks_in(root / f"{split}annot")
    found = pair(images, masks)
    items = [Item(sample_name(key), image, mask) for key, image, mask in found.pairs]
    return items, [*problems, *mask_problems, *found.problems], found.notes


def _from_list(root: Path, split: str) -> tuple[list[Item], list[Problem], list[str]]:
    """Read lines of "picture mask"; the prefix (/SegNet/CamVid/) is somebody's machine."""
    path = root / f"{split}.txt"
    items: dict[str, Item] = {}
    listed: set[str] = set()
    problems: list[Problem] = []
    for line in list_lines(path):
        if len(line.names) != 2:
            found = f"line {line.number} holds {count_of(len(line.names), 'name')}"
            problems.append(Problem("list", path, found, "two, of a picture and of its mask"))
            continue
        image, mask = (listed_file(root, name) for name in line.names)
        missing = [file for file in (image, mask) if not file.is_file()]
        for file in missing:
            found = f"does not exist, but line {line.number} of {path.name} lists it"
            problems.append(Problem("missing", file, found, remedy="copy it there, or take the line out"))
        key = _key(root / split, image)
        if key in listed:
            found = f"line {line.number} lists {image.name} a second time"
            problems.append(Problem("duplicate", path, found, remedy="take the line out"))
        elif not missing:
            items[key] = Item(sample_name(key), image, mask)
        listed.add(key)
    return list(items.values()), problems, _not_listed(root, split, listed)


def _key(folder: Path, image: Path) -> str:
    """The key of a picture, as `images_in` would have it of its folder."""
    return image.relative_to(folder).with_suffix("").as_posix() if image.is_relative_to(folder) else image.stem


def _not_listed(root: Path, split: str, listed: set[str]) -> list[str]:
    folder = root / split
    if not folder.is_dir():
        return []
    names = sorted(images_in(folder)[0].keys() - listed)
    return [f"{split}/ holds {len(names)} that {split}.txt does not list, left out: {listing(names)}"] if names else []
