"""Finding the pictures of a folder, and pairing pictures with masks by name; a problem for each file left over."""

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


def images_in(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Find the pictures below a folder.

    Hidden files (`._x.png` of macOS) and files that are no pictures (lists, licences) are left out.

    Returns:
        Path relative to the folder, without suffix -> path; and what is wrong with them.

    Raises:
        DataError: a folder cannot be listed.
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
            problems.append(Problem("duplicate", path, text, "one picture of a name", remedy="rename or remove one"))
        else:
            found[key] = path
    return found, problems


def _walk(folder: Path) -> Iterable[Path]:
    """Yield the files below a folder, sorted, following links, without hidden ones. Raises DataError: no permission."""
    for base, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        here = Path(base).resolve()
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not _links_to_parent(here, f))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(base) / name


def _links_to_parent(here: Path, name: str) -> bool:
    """Tell whether a name is a link to a folder that `here` lies in: following it would never end."""
    return (here / name).is_symlink() and here.is_relative_to((here / name).resolve())


def _cannot_list(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be listed ({error.strerror})", "a folder that can be read") from None


_LONGEST_NAME = 255


def list_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Read a list file: (number, words) of each line that is not blank; backslashes of Windows become slashes.

    Raises:
        DataError: it cannot be read, is not UTF-8, or holds names that no file can have.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})", "a list of names, text in UTF-8") from None
    found = []
    for number, line in enumerate(lines, start=1):
        words = line.replace("\\", "/").split()
        # No file system takes longer ones; Python raises an error where it is asked for such a file.
        longest = max((len(os.fsencode(part)) for word in words for part in word.split("/")), default=0)
        if longest > _LONGEST_NAME or "\0" in line:
            told = "a null character" if "\0" in line else f"a name of {longest} bytes"
            raise DataError(f"{path}: line {number} holds {told}", f"names of files, at most {_LONGEST_NAME} bytes")
        if words:
            found.append((number, words))
    return found


def clashes(splits: Mapping[str, Iterable[Item]]) -> list[Problem]:
    """Return a problem for each name that is twice in a split, and each picture that is in two splits."""
    problems: list[Problem] = []
    files: dict[Path, str] = {}
    for split, items in splits.items():
        names: dict[str, Path] = {}
        for item in items:
            if item.name in names:
                found = f"has the same name as {names[item.name]}: {item.name}"
                problems.append(Problem("duplicate", item.image, found, "one name each", remedy="rename one"))
            elif item.image in files:
                found = f"is in '{files[item.image]}' and in '{split}'"
                problems.append(Problem("leak", item.image, found, "one split for a picture", remedy="mend the lists"))
            names[item.name] = item.image
            files.setdefault(item.image, split)
    return problems


def masks_in(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Find masks as `images_in` finds pictures; one that was compressed with loss is a problem, too."""
    found, problems = images_in(folder)
    return found, problems + [lossy_mask(path) for path in found.values() if path.suffix.lower() in LOSSY_SUFFIXES]


def lossy_mask(path: Path) -> Problem:
    """The problem of a mask that was compressed with loss."""
    remedy = "export the masks again as PNG; converting the JPEG does not bring the values back"
    return Problem(
        "lossy", path, "is a mask compressed with loss, so its values are not to be trusted", "PNG", remedy=remedy
    )


def pair(images: Mapping[str, Path], masks: Mapping[str, Path]) -> tuple[list[tuple[str, Path, Path]], list[Problem]]:
    """Pair pictures and masks by key.

    Returns:
        (key, picture, mask) for each key in both, sorted; a problem for each file without a partner.
    """
    masks = _without_ending(images, masks)
    pairs = [(key, images[key], masks[key]) for key in sorted(images.keys() & masks.keys())]
    without_mask, without_image = sorted(images.keys() - masks.keys()), sorted(masks.keys() - images.keys())
    near = _near_matches(without_mask, without_image)
    problems = []
    for keys, files, partners, found, expected in (
        (without_mask, images, masks, "has no mask", "a mask named {}.png"),
        (without_image, masks, images, "has no picture", "a picture of the same name"),
    ):
        for key in keys:
            wanted, remedy = expected.format(Path(key).name), "add it, or remove both"
            if key in near:
                partner, difference = near[key]
                wanted += f" (that of {partners[partner].name} differs in {difference} only)"
                remedy = "rename or move one of the two"
            problems.append(Problem("unpaired", files[key], found, wanted, remedy=remedy))
    return pairs, problems


def _near_matches(images: Iterable[str], masks: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Match keys without a partner that differ in upper and lower case, or in the folder, only.

    Returns:
        Key of either side -> the key that may have been meant, and in what it differs; only where there is exactly one
        such key on each side.
    """
    found: dict[str, tuple[str, str]] = {}
    for difference, simplify in (
        ("upper and lower case", str.casefold),
        ("the folder", lambda key: key.rpartition("/")[2]),
    ):
        image_of, mask_of = (_unique([key for key in keys if key not in found], simplify) for keys in (images, masks))
        for simple in image_of.keys() & mask_of.keys():
            image, mask = image_of[simple], mask_of[simple]
            found |= {image: (mask, difference), mask: (image, difference)}
    return found


def _unique(keys: Iterable[str], simplify: Callable[[str], str]) -> dict[str, str]:
    """Simplified key -> key, for those that no second key is simplified to."""
    simplified = {key: simplify(key) for key in keys}
    counts = Counter(simplified.values())
    return {simple: key for key, simple in simplified.items() if counts[simple] == 1}


def _without_ending(images: Mapping[str, Path], masks: Mapping[str, Path]) -> Mapping[str, Path]:
    """Rename `x_mask` to `x`, if no mask pairs as it is and an ending of annotation tools makes at least one pair."""
    if images.keys() & masks.keys():
        return masks
    for ending in _MASK_ENDINGS:
        shorter = {key.removesuffix(ending): path for key, path in masks.items()}
        if len(shorter) == len(masks) and images.keys() & shorter.keys():
            return shorter
    return masks


def sample_name(key: str) -> str:
    """Make a file stem of a key: folders are joined with two underscores."""
    return key.replace("/", "__")
