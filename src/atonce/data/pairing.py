"""Which pictures a folder holds, which belong together, and what belongs to nothing."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from atonce.data.dataset import Item
from atonce.data.images import IMAGE_SUFFIXES, Problem
from atonce.errors import DataError

LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg", ".webp"})

# Pictures to a person, but nothing that is read here: leaving them out silently would lose samples.
_UNSUPPORTED = frozenset({".gif", ".heic", ".heif", ".avif", ".jp2", ".tga", ".npy", ".npz", ".mat", ".exr", ".svg"})

# What annotation tools hang on to the picture's name; only where names do not pair as they are.
_MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation", "_L", "-mask", "_annotation")


def pictures_in(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Pictures below `folder`, keyed by their path relative to it without suffix, and what is wrong with them.

    Hidden files (`._x.png` of macOS) and files that are no pictures (lists, licences) are not pictures.
    """
    found: dict[str, Path] = {}
    problems: list[Problem] = []
    for path in _walk(folder):
        suffix = path.suffix.lower()
        if suffix in _UNSUPPORTED:
            problems.append(Problem("unsupported", path, f"is of a type that is not read ({suffix})", "PNG or JPEG"))
        if suffix not in IMAGE_SUFFIXES:
            continue
        # macOS stores names with accents in another form than most: é as one character or as two.
        key = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
        if key in found:
            text = f"has the same name as {found[key].name}"
            problems.append(Problem("duplicate", path, text, "one picture of a name", "rename or remove one"))
        else:
            found[key] = path
    return found, problems


def _walk(folder: Path) -> Iterable[Path]:
    """Files below `folder`, sorted, following links, without hidden ones. Raises DataError: not allowed to look."""
    for base, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        here = Path(base).resolve()
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not _leads_back(here, f))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(base) / name


def _leads_back(here: Path, name: str) -> bool:
    """A link to a folder that `here` lies in: following it would never end."""
    return (here / name).is_symlink() and here.is_relative_to((here / name).resolve())


def _cannot_list(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be listed ({error.strerror})", "a folder that can be read") from None


def list_lines(path: Path) -> list[tuple[int, list[str]]]:
    """(number, words) of each line of a list file that is not blank; backslashes of Windows become slashes."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})", "a list of names, text in UTF-8") from None
    words = ((number, line.replace("\\", "/").split()) for number, line in enumerate(lines, start=1))
    return [(number, parts) for number, parts in words if parts]


def clashes(splits: Mapping[str, Iterable[Item]]) -> list[Problem]:
    """A name twice in a split, and a picture in two splits."""
    problems: list[Problem] = []
    files: dict[Path, str] = {}
    for split, items in splits.items():
        names: dict[str, Path] = {}
        for item in items:
            if item.name in names:
                found = f"has the same name as {names[item.name]}: {item.name}"
                problems.append(Problem("duplicate", item.image, found, "one name each", "rename one"))
            elif item.image in files:
                found = f"is in '{files[item.image]}' and in '{split}'"
                problems.append(Problem("leak", item.image, found, "one split for a picture", "mend the lists"))
            names[item.name] = item.image
            files.setdefault(item.image, split)
    return problems


def masks_in(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """As `pictures_in`, and a mask that was compressed with loss is a problem: its values are not to be trusted."""
    found, problems = pictures_in(folder)
    return found, problems + [lossy_mask(path) for path in found.values() if path.suffix.lower() in LOSSY_SUFFIXES]


def lossy_mask(path: Path) -> Problem:
    remedy = "export the masks again as PNG; converting the JPEG does not bring the values back"
    return Problem("lossy", path, "is a mask compressed with loss, so its values are not to be trusted", "PNG", remedy)


def pair(images: Mapping[str, Path], masks: Mapping[str, Path]) -> tuple[list[tuple[str, Path, Path]], list[Problem]]:
    """(key, picture, mask) for each key in both; a problem for each file in one of them only."""
    masks = _without_ending(images, masks)
    pairs = [(key, images[key], masks[key]) for key in sorted(images.keys() & masks.keys())]
    alone = sorted(images.keys() - masks.keys()), sorted(masks.keys() - images.keys())
    nearly = _nearly(*alone)
    problems = []
    for keys, files, others, lacks, expected in (
        (alone[0], images, masks, "has no mask", "a mask named {}.png"),
        (alone[1], masks, images, "has no picture", "a picture of the same name"),
    ):
        for key in keys:
            wanted, remedy = expected.format(Path(key).name), "add it, or remove both"
            if key in nearly:
                other, how = nearly[key]
                wanted += f" (that of {others[other].name} differs in {how} only)"
                remedy = "rename or move one of the two"
            problems.append(Problem("unpaired", files[key], lacks, wanted, remedy))
    return pairs, problems


def _nearly(images: Iterable[str], masks: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Key -> the key that was meant, perhaps, and in what it differs; only where there is one such key on each side."""
    found: dict[str, tuple[str, str]] = {}
    for how, form in (("upper and lower case", str.casefold), ("the folder", lambda key: key.rpartition("/")[2])):
        sides = [_alone([key for key in keys if key not in found], form) for keys in (images, masks)]
        for name in sides[0].keys() & sides[1].keys():
            image, mask = sides[0][name], sides[1][name]
            found |= {image: (mask, how), mask: (image, how)}
    return found


def _alone(keys: Iterable[str], form: Callable[[str], str]) -> dict[str, str]:
    """Form -> key, where no other key has it."""
    forms = {key: form(key) for key in keys}
    counts = Counter(forms.values())
    return {name: key for key, name in forms.items() if counts[name] == 1}


def _without_ending(images: Mapping[str, Path], masks: Mapping[str, Path]) -> Mapping[str, Path]:
    """`x_mask.png` belongs to `x.jpg`, if no mask pairs as it is and an ending makes at least one pair."""
    if images.keys() & masks.keys():
        return masks
    for ending in _MASK_ENDINGS:
        shorter = {key.removesuffix(ending): path for key, path in masks.items()}
        if len(shorter) == len(masks) and images.keys() & shorter.keys():
            return shorter
    return masks


def sample_name(key: str) -> str:
    """A key as a file stem: folders joined with two underscores."""
    return key.replace("/", "__")
