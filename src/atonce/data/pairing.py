"""Finding the pictures of a folder, and pairing pictures with masks by name; a problem for each file left over."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path, PurePosixPath

from atonce.data.dataset import Item
from atonce.data.images import IMAGE_SUFFIXES, Problem
from atonce.errors import DataError
from atonce.text import count_of, readable_name

LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg", ".webp"})

# Pictures to a person, but nothing that is read here: leaving them out silently would lose samples.
_UNSUPPORTED = frozenset({".gif", ".heic", ".heif", ".avif", ".jp2", ".tga", ".npy", ".npz", ".mat", ".exr", ".svg"})

# What annotation tools hang on to the picture's name; only where names do not pair as they are.
MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation", "_L", "-mask", "_annotation")


_END_OF_NAME = re.compile(rf"\.(?:{'|'.join(suffix[1:] for suffix in sorted(IMAGE_SUFFIXES))})(?=\s|$)", re.I)

_VOTERS = 64
"""Masks that are looked at to see what their names add to those of the pictures."""

_RESEMBLES = 0.75
"""The likeness of two names, of a picture without a mask and of a mask without a picture, from which on the one was
meant to be the other's; see `difflib.get_close_matches`."""

_FEW_MASKS_LEFT = 3
"""Masks without a picture that may be left over, however few pairs there are, before all names look mistaken."""

_MOST_COMPARED = 100
"""The most such masks that are compared with the pictures: as many have one cause, which is a mistake in the names."""


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
    for path in files_below(folder):
        suffix = path.suffix.lower()
        if suffix in _UNSUPPORTED:
            problems.append(Problem("unsupported", path, f"is of a type that is not read ({suffix})", "PNG or JPEG"))
        if suffix not in IMAGE_SUFFIXES:
            continue
        # macOS stores names with accents in another form than most: é as one character or as two.
        key = readable_name(unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix()))
        if key in found:
            text = f"has the same name as {found[key].name}"
            problems.append(Problem("duplicate", path, text, "one picture of a name", remedy="rename or remove one"))
        else:
            found[key] = path
    return found, problems


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted, following links, without hidden ones.

    Raises:
        DataError: a folder cannot be listed; more links to folders than any data set has.
    """
    followed = 0
    # Of each folder that is yet to come, the real folders that the way to it ends in, and left by links.
    ways: dict[str, tuple[Path, ...]] = {os.fspath(folder): (folder.resolve(),)}
    for base, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        here, way = Path(base), ways.pop(base)
        now = way[-1]
        kept = []
        for name in sorted(name for name in folders if not name.startswith(".")):
            onward: tuple[Path, ...] = (*way[:-1], now / name)
            if _is_link(here / name):
                target = (now / name).resolve()
                if any(passed.is_relative_to(target) for passed in way):
                    continue  # following it would never end
                onward, followed = (*way, target), followed + 1
            ways[os.path.join(base, name)] = onward  # noqa: PTH118, as `os.walk` writes it
            kept.append(name)
        folders[:] = kept
        if followed > _MOST_LINKS:
            found = f"{folder} leads to more than {_MOST_LINKS} folders by links"
            raise DataError(found, "links that do not lead to each other", "remove those that are not needed")
        for name in sorted(names):
            if not name.startswith("."):
                yield here / name


def is_file(path: Path) -> bool:
    """Tell whether there is a file; False, too, where no file can have the name, as lists of strangers hold them."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_there(path: Path) -> bool:
    """Tell whether there is a file or a folder; False, too, where nothing can have the name."""
    try:
        return path.exists()
    except OSError:
        return False


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:
        return False


def _cannot_list(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be listed ({error.strerror})", "a folder that can be read") from None


@dataclass(frozen=True)
class ListLine:
    """A line of a list of pictures.

    Attributes:
        number: from 1 on.
        text: the line, with the slashes of Unix.
        names: what it lists: names in quotes, names that end as pictures do, else words.
    """

    number: int
    text: str
    names: tuple[str, ...]


_LONGEST_NAME = 255
"""Bytes of a file's name on any usual file system."""

MOST_PARTS = 100
"""Folders and the name at the end of a path of somebody's machine, by which it is looked for."""

_MOST_LINKS = 10_000
"""Links to folders that are followed in a data set: thirty folders with two links each, to the next, are 2**30."""


def list_lines(path: Path) -> list[ListLine]:
    """Read the lines of a list file that are neither blank nor comments (#); backslashes of Windows become slashes.

    Raises:
        DataError: it cannot be read, is not UTF-8, or holds names that no file can have.
    """
    if path.exists() and not path.is_file():
        # /dev/zero, or a pipe: its end never comes.
        raise DataError(f"{path} is no ordinary file", "a list of names, text in UTF-8")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})", "a list of names, text in UTF-8") from None
    stripped = ((number, line.replace("\\", "/").strip()) for number, line in enumerate(lines, start=1))
    found = [ListLine(number, text, _names_in(text)) for number, text in stripped if text and not text.startswith("#")]
    for line in found:
        # Python raises an error where it is asked for a file of such a name.
        longest = max((len(os.fsencode(part)) for name in line.names for part in name.split("/")), default=0)
        if longest > _LONGEST_NAME or "\0" in line.text:
            told = "a null character" if "\0" in line.text else f"a name of {longest} bytes"
            raise DataError(f"{path}: line {line.number} holds {told}", f"names of at most {_LONGEST_NAME} bytes")
    return found


def _names_in(line: str) -> tuple[str, ...]:
    """Take a line apart; names of files may hold spaces, which words may not."""
    names, start = list[str](), 0
    while start < len(line):
        quoted = line.find('"', start + 1) if line[start] == '"' else -1
        if line[start].isspace():
            start += 1
        elif quoted > start + 1:
            names.append(line[start + 1 : quoted])
            start = quoted + 1
        elif end := _END_OF_NAME.search(line, start + 1):
            names.append(line[start : end.end()])
            start = end.end()
        else:
            return tuple(line.split())
    return tuple(names)


def listed_file(root: Path, name: str) -> Path:
    """Find a file of a list below the data set's root; what stands before is somebody's machine (/SegNet/CamVid/).

    Returns:
        The longest end of the path that exists below `root`, else its last two parts, for a message.
    """
    parts = PurePosixPath(name.lstrip("/")).parts[-MOST_PARTS:]
    ends = (root.joinpath(*parts[start:]) for start in range(max(1, len(parts) - 1)))
    return next((path for path in ends if is_file(path)), root.joinpath(*parts[-2:]))


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


@dataclass(frozen=True)
class Pairing:
    """Pictures and masks that belong together.

    Attributes:
        pairs: (key of the picture, picture, mask), sorted.
        problems: one for each file without a partner.
        notes: in what the names of masks and pictures differ.
    """

    pairs: list[tuple[str, Path, Path]]
    problems: list[Problem]
    notes: list[str]


def pair(images: Mapping[str, Path], masks: Mapping[str, Path]) -> Pairing:
    """Pair pictures and masks by key; a prefix or suffix that one side has in common is seen through.

    A picture that nobody has painted a mask for is left out (a note); where its name looks mistaken it is an error, as
    every mask without a picture is.
    """
    masks, notes = _named_like_images(images, masks)
    pairs = [(key, images[key], masks[key]) for key in sorted(images.keys() & masks.keys())]
    without_mask, without_image = sorted(images.keys() - masks.keys()), sorted(masks.keys() - images.keys())
    near = _near_matches(without_mask, without_image)
    left_out = _left_out(without_mask, without_image, near, pairs=len(pairs))
    problems = [no_mask(images[key]) for key in without_mask if key in left_out]
    for keys, files, partners, found, expected in (
        (without_mask, images, masks, "has no mask", "a mask named {}.png"),
        (without_image, masks, images, "has no picture", "a picture of the same name"),
    ):
        for key in keys:
            if key in left_out:
                continue
            wanted, remedy = expected.format(Path(key).name), "add it, or remove both"
            if not pairs:
                both = f"{count_of(len(images), 'picture')} and {count_of(len(masks), 'mask')}"
                remedy = f"none of {both} pair: give both the same names"
            if key in near:
                partner, difference = near[key]
                wanted += f" (that of {partners[partner].name} differs in {difference} only)"
                remedy = "rename or move one of the two"
            problems.append(Problem("unpaired", files[key], found, wanted, remedy=remedy))
    return Pairing(pairs, problems, notes)


def no_mask(image: Path) -> Problem:
    """The problem of a picture that nobody has annotated: a note, since it is left out and nothing is wrong."""
    return Problem("no-mask", image, "has no mask and is left out", severity="note")


def _left_out(
    without_mask: Iterable[str], without_image: Sequence[str], near: Mapping[str, object], *, pairs: int
) -> set[str]:
    """Choose the pictures without a mask that are to be left out: those whose names do not look mistaken.

    They look so where nothing pairs, where more masks are left over than pair, and where a mask is left over whose name
    resembles the picture's.
    """
    if not pairs or len(without_image) > min(_MOST_COMPARED, max(pairs, _FEW_MASKS_LEFT)):
        return set()
    candidates = [key for key in without_mask if key not in near]
    for mask in without_image:
        if mask not in near:
            alike = get_close_matches(mask, candidates, 1, _RESEMBLES)
            candidates = [key for key in candidates if key not in alike]
    return set(candidates)


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


@dataclass(frozen=True)
class _Affixes:
    """The texts around the name that a picture and its mask have in common."""

    image_prefix: str = ""
    image_suffix: str = ""
    mask_prefix: str = ""
    mask_suffix: str = ""

    def image_core(self, key: str) -> str | None:
        """The common name of a picture's key; None where the key lacks prefix or suffix."""
        return _core(key, self.image_prefix, self.image_suffix)

    def mask_core(self, key: str) -> str | None:
        """The common name of a mask's key; None where the key lacks prefix or suffix."""
        return _core(key, self.mask_prefix, self.mask_suffix)

    def plausible(self) -> bool:
        """False where a number would be cut through: frame_10 and frame_20 are not one picture."""
        inner = (self.image_prefix[-1:], self.image_suffix[:1], self.mask_prefix[-1:], self.mask_suffix[:1])
        return not any(character.isdigit() for character in inner)

    def describe(self) -> str:
        """Say which names belong together."""
        image, mask = (
            f"{prefix}NAME{suffix}"
            for prefix, suffix in ((self.image_prefix, self.image_suffix), (self.mask_prefix, self.mask_suffix))
        )
        return f"names differ: the picture {image} has the mask {mask}"


def _core(key: str, prefix: str, suffix: str) -> str | None:
    folder, _, name = key.rpartition("/")
    if len(name) <= len(prefix) + len(suffix) or not (name.startswith(prefix) and name.endswith(suffix)):
        return None
    core = name[len(prefix) : len(name) - len(suffix)]
    return f"{folder}/{core}" if folder else core


def _named_like_images(images: Mapping[str, Path], masks: Mapping[str, Path]) -> tuple[Mapping[str, Path], list[str]]:
    """Give masks the keys of their pictures, if no mask pairs as it is: where one side's names have a prefix or suffix
    that the other side's have not.

    Returns:
        The masks by their new keys (by their own, where no picture is found), and a note that says what was seen.
    """
    if not images or not masks or images.keys() & masks.keys():
        return masks, []
    for ending in MASK_ENDINGS:
        affixes = _Affixes(mask_suffix=ending)
        if renamed := _rename(images, masks, affixes):
            return renamed, [affixes.describe()]
    best, most = None, 0
    for affixes in _candidates(list(images), list(masks)):
        renamed = _rename(images, masks, affixes) if affixes.plausible() else None
        count = len(images.keys() & renamed.keys()) if renamed else 0
        if renamed and count > most and 2 * count >= min(len(images), len(masks)):
            best, most = (renamed, [affixes.describe()]), count
    return best or (masks, [])


def _rename(images: Mapping[str, Path], masks: Mapping[str, Path], affixes: _Affixes) -> dict[str, Path] | None:
    """The masks by the keys of their pictures; None where that pairs nothing, or one picture with two masks."""
    image_of: dict[str, str] = {}
    for key in images:
        core = affixes.image_core(key)
        if core is not None and image_of.setdefault(core, key) != key:
            return None
    renamed: dict[str, Path] = {}
    for key, path in masks.items():
        core = affixes.mask_core(key)
        new = key if core is None else image_of.get(core, core)
        if new in renamed:
            return None
        renamed[new] = path
    return renamed if images.keys() & renamed.keys() else None


def _candidates(images: Sequence[str], masks: Sequence[str]) -> Iterator[_Affixes]:
    """Yield what names may have around what they have in common, the most frequent first."""
    image_names, mask_names = ([key.rpartition("/")[2] for key in keys] for keys in (images, masks))
    for prefix, suffix in _additions(mask_names, image_names):
        yield _Affixes(mask_prefix=prefix, mask_suffix=suffix)
    for prefix, suffix in _additions(image_names, mask_names):
        yield _Affixes(image_prefix=prefix, image_suffix=suffix)
    image_prefix, mask_prefix = _common_start(image_names), _common_start(mask_names)
    same = len(_common_start([image_prefix[::-1], mask_prefix[::-1]]))
    image_prefix, mask_prefix = image_prefix[: len(image_prefix) - same], mask_prefix[: len(mask_prefix) - same]
    image_suffix, mask_suffix = (
        _common_start([name[len(prefix) :][::-1] for name in names])[::-1]
        for names, prefix in ((image_names, image_prefix), (mask_names, mask_prefix))
    )
    same = len(_common_start([image_suffix, mask_suffix]))
    yield _Affixes(image_prefix, image_suffix[same:], mask_prefix, mask_suffix[same:])


def _common_start(names: Sequence[str]) -> str:
    """The longest text that all names begin with."""
    first, last = min(names), max(names)
    differing = (i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differing, len(first))]


def _additions(longer: Sequence[str], shorter: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (prefix, suffix) that names have around other names, the most frequent first."""
    votes: Counter[tuple[str, str]] = Counter()
    for name in islice(longer, _VOTERS):
        for other in shorter:
            if other in name:
                prefix, _, suffix = name.partition(other)
                votes[prefix, suffix] += 1
    yield from (affixes for affixes, _ in votes.most_common(8))


def sample_name(key: str) -> str:
    """Make a file stem of a key: folders are joined with two underscores."""
    return key.replace("/", "__")
