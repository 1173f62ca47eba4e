"""CamVid as the SegNet tutorial distributes it (Brostow et al. 2009; Kendall, Badrinarayanan, Cipolla)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from atonce.data.dataset import Dataset, Item
from atonce.data.images import Problem
from atonce.data.masks import ClassMask
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import images_in, list_lines, masks_in, pair, sample_name
from atonce.data.splits import split_items
from atonce.errors import option
from atonce.labels import CAMVID, IGNORE_INDEX
from atonce.text import count_of, listing

_SPLITS = ("train", "val", "test")
_VOID = 11

READ_MASK = ClassMask(
    values=(*((i, i) for i in range(CAMVID.num_classes)), (_VOID, IGNORE_INDEX), (IGNORE_INDEX, IGNORE_INDEX)),
    colours=(*((colour, i) for i, colour in enumerate(CAMVID.palette)), ((0, 0, 0), IGNORE_INDEX)),
    remedy=f"these are not CamVid's eleven classes: use {option('format', 'folder')} with a classes.yaml",
)


class CamVid:
    """CamVid: train.txt and val.txt list pairs; without lists, what train/ and trainannot/ hold is paired by name."""

    name = "camvid"
    layout = "train/ trainannot/ val/ valannot/ (and train.txt, val.txt)"
    options: frozenset[str] = frozenset()

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        return root if any((root / f"{s}annot").is_dir() and (root / s).is_dir() for s in _SPLITS) else None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        splits: dict[str, tuple[Item, ...]] = {}
        problems: list[Problem] = []
        notes: list[str] = []
        extras: dict[str, str] = {}
        for split in _SPLITS:
            listed = (root / f"{split}.txt").is_file()
            if not listed and not (root / split).is_dir():
                continue
            items, found, remarks = _from_list(root, split) if listed else _from_folders(root, split)
            splits[split] = tuple(sorted(items, key=lambda item: item.name))
            problems += found
            notes += remarks
        if "val" not in splits and len(splits.get("train", ())) > 1:
            made, notes_of_split, extras = split_items(splits["train"], options)
            splits |= made
            notes += notes_of_split
        return Dataset(
            format=self.name,
            root=root,
            labels=CAMVID,
            splits=splits,
            read_mask=READ_MASK,
            problems=tuple(problems),
            notes=tuple(notes),
            extras=extras,
        )


def _from_folders(root: Path, split: str) -> tuple[list[Item], list[Problem], list[str]]:
    images, problems = images_in(root / split)
    if split == "test" and not (root / "testannot").is_dir():
        return [Item(sample_name(key), path) for key, path in images.items()], problems, []
    masks, mask_problems = masks_in(root / f"{split}annot")
    pairs, unpaired = pair(images, masks)
    items = [Item(sample_name(key), image, mask) for key, image, mask in pairs]
    return items, [*problems, *mask_problems, *unpaired], []


def _from_list(root: Path, split: str) -> tuple[list[Item], list[Problem], list[str]]:
    """Read lines of "picture mask"; the prefix (/SegNet/CamVid/) is somebody's machine: the last two parts count."""
    path = root / f"{split}.txt"
    items: dict[str, Item] = {}
    listed: set[str] = set()
    problems: list[Problem] = []
    for number, words in list_lines(path):
        if len(words) != 2:
            found = f"line {number} holds {count_of(len(words), 'name')}"
            problems.append(Problem("list", path, found, "two, of a picture and of its mask"))
            continue
        image, mask = (root.joinpath(*PurePosixPath(word).parts[-2:]) for word in words)
        missing = [file for file in (image, mask) if not file.is_file()]
        for file in missing:
            found = f"does not exist, but line {number} of {path.name} lists it"
            problems.append(Problem("missing", file, found, remedy="copy it there, or take the line out"))
        if image.stem in listed:
            found = f"line {number} lists {image.name} a second time"
            problems.append(Problem("duplicate", path, found, remedy="take the line out"))
        elif not missing:
            items[image.stem] = Item(image.stem, image, mask)
        listed.add(image.stem)
    return list(items.values()), problems, _not_listed(root, split, listed)


def _not_listed(root: Path, split: str, listed: set[str]) -> list[str]:
    folder = root / split
    if not folder.is_dir():
        return []
    names = sorted(images_in(folder)[0].keys() - listed)
    return [f"{split}/ holds {len(names)} that {split}.txt does not list, left out: {listing(names)}"] if names else []
