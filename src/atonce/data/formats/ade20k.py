"""ADE20K as the scene parsing benchmark distributes it, ADEChallengeData2016 (Zhou et al. 2017): 150 classes, 0 is
void."""

from __future__ import annotations

import re
from pathlib import Path

from atonce.data.classes_file import find_classes_file
from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat, mask_files
from atonce.data.images import Problem
from atonce.data.mask_classes import resolve_classes
from atonce.data.masks import ClassMask
from atonce.data.open_options import OpenOptions
from atonce.data.pairing import images_in, masks_in, pair, sample_name
from atonce.data.splits import complete_splits
from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX, LabelSpec

# The first name of each line of objectInfo150.txt, which comes with the data.
NAMES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet", "sidewalk",
    "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water", "painting", "sofa",
    "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence", "desk", "rock", "wardrobe", "lamp",
    "bathtub", "railing", "cushion", "base", "box", "column", "signboard", "chest of drawers", "counter", "sand",
    "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path", "stairs", "runway", "case", "pool table",
    "pillow", "screen door", "stairway", "river", "bridge", "bookcase", "blind", "coffee table", "toilet", "flower",
    "book", "hill", "bench", "countertop", "stove", "palm", "kitchen island", "computer", "swivel chair", "boat",
    "bar", "arcade machine", "hovel", "bus", "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight",
    "booth", "television", "airplane", "dirt track", "apparel", "pole", "land", "bannister", "escalator",
    "ottoman", "bottle", "buffet", "poster", "stage", "van", "ship", "fountain", "conveyer belt", "canopy", "washer",
    "plaything", "swimming pool", "stool", "barrel", "basket", "waterfall", "tent", "bag", "minibike", "cradle",
    "oven", "ball", "food", "step", "tank", "trade name", "microwave", "pot", "animal", "bicycle", "lake",
    "dishwasher", "screen", "blanket", "sculpture", "hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan",
    "pier", "crt screen", "plate", "monitor", "bulletin board", "shower", "radiator", "glass", "clock", "flag",
)  # fmt: skip

_TABLE = "objectInfo150.txt"
_SPLITS = {"train": "training", "val": "validation"}
_PICTURE = re.compile(r"ADE_(train|val)_\d+")


class Ade20k(DatasetFormat):
    """ADE20K: values 1..150 are the classes 0..149, and 0, what nobody named, is void."""

    name = "ade20k"
    layout = "images/training/ annotations/training/ (and validation, objectInfo150.txt; ADEChallengeData2016)"

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        for folder in (root, root / "ADEChallengeData2016"):
            if all((folder / kind / "training").is_dir() for kind in ("images", "annotations")):
                return folder
        return None

    def fits(self, root: Path) -> bool:
        """See `DatasetFormat.fits`: the table of classes is there, or the pictures are called as ADE20K's."""
        if (root / _TABLE).is_file():
            return True
        return any(_PICTURE.fullmatch(path.stem) for path in (root / "images" / "training").iterdir())

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        splits: dict[str, tuple[Item, ...]] = {}
        problems: list[Problem] = []
        for split, folder in _SPLITS.items():
            if (root / "images" / folder).is_dir():
                images, found = images_in(root / "images" / folder)
                masks, mask_problems = masks_in(root / "annotations" / folder)
                pairing = pair(images, masks)
                splits[split] = tuple(Item(sample_name(key), image, mask) for key, image, mask in pairing.pairs)
                problems += [*found, *mask_problems, *pairing.problems]
        if (root / "images" / "testing").is_dir():
            tests, found = images_in(root / "images" / "testing")
            splits["test"] = tuple(Item(sample_name(key), path) for key, path in sorted(tests.items()))
            problems += found
        if options.classes is not None or find_classes_file(root) is not None:
            labels, reader, notes = resolve_classes(root, mask_files(splits), options.classes)
        else:
            labels, reader, notes = _labels(root)
        made, notes_of_split, extras = complete_splits(splits, options)
        return Dataset(
            format=self.name,
            root=root,
            labels=labels,
            splits=made,
            read_mask=reader,
            problems=tuple(problems),
            notes=(*notes, *notes_of_split),
            extras=extras,
        )


def _labels(root: Path) -> tuple[LabelSpec, ClassMask, list[str]]:
    path = root / _TABLE
    names = read_object_info(path) if path.is_file() else NAMES
    labels = LabelSpec.from_names(names)
    values = ((0, IGNORE_INDEX), *((i + 1, i) for i in range(len(names))))
    remedy = "these are not ADE20K's 150 classes: write a classes.yaml beside images/ and annotations/"
    return labels, ClassMask(values, remedy=remedy), ["0, what ADE20K does not name, is void"]


def read_object_info(path: Path) -> tuple[str, ...]:
    """Read the names of the classes from objectInfo150.txt: the last column, of several names the first.

    Raises:
        DataError: it is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})", "text in UTF-8") from None
    rows = [line.split("\t") for line in lines if line.strip()]
    names = [row[-1].partition(",")[0].strip() for row in rows if row[0].strip().isdigit()]
    numbers = [int(row[0]) for row in rows if row[0].strip().isdigit()]
    if not names or numbers != list(range(1, len(names) + 1)):
        expected = "lines of number, shares and names with tabs between them, numbered from 1"
        raise DataError(f"{path} holds {len(names)} numbered lines", expected, "unpack ADEChallengeData2016.zip again")
    # Two of the 150 are called alike but for their synonyms: the second keeps them.
    seen: set[str] = set()
    unique = []
    for row, name in zip((row for row in rows if row[0].strip().isdigit()), names, strict=True):
        unique.append(row[-1].strip() if name in seen else name)
        seen.add(name)
    return tuple(unique)
