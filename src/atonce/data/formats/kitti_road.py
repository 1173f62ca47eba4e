"""The KITTI road benchmark, layout `data_road` (Fritsch, Kuehnl, Geiger 2013)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atonce.data.classes_file import find_classes_file
from atonce.data.dataset import Dataset, Item
from atonce.data.formats.base import DatasetFormat
from atonce.data.images import FileError, Problem
from atonce.data.masks import open_mask, percent
from atonce.data.open_options import GroundTruth, OpenOptions
from atonce.data.pairing import images_in
from atonce.data.splits import split_items
from atonce.errors import DataError, option
from atonce.labels import IGNORE_INDEX, KITTI_ROAD
from atonce.text import count_of, listing


def read_ground_truth(path: Path) -> NDArray[np.uint8]:
    """Read a ground-truth PNG as uint8 (H, W): 1 road (blue > 0), 0 background, 255 where it is not valid (red is 0).

    Raises:
        FileError: unreadable, not RGB, or green in it (then it is some other picture).
    """
    image = open_mask(path)
    if image.mode not in ("RGB", "RGBA", "P"):
        found = f"is of mode {image.mode}"
        raise FileError(Problem("mode", path, found, "RGB as the benchmark has it: red valid, blue road"))
    pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGBA").convert("RGB"))
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if green.any():
        found = f"holds colours with green ({percent(int(np.count_nonzero(green)), green.size)} of the pixels)"
        raise FileError(Problem("values", path, found, "black, red (not road) and magenta (road) only"))
    return np.where(red > 0, (blue > 0).astype(np.uint8), np.uint8(IGNORE_INDEX))


class KittiRoad(DatasetFormat):
    """The KITTI road benchmark: there are no official lists, so "train" and "val" are split by seed,
    stratified over um, umm, uu."""

    name = "kitti-road"
    layout = "training/image_2/ training/gt_image_2/ testing/image_2/ (data_road)"
    options = frozenset({"ground_truth"})

    def find(self, root: Path) -> Path | None:
        """See `DatasetFormat.find`."""
        for folder in (root, root / "data_road"):
            training = folder / "training"
            if (training / "image_2").is_dir() and (training / "gt_image_2").is_dir():
                return folder
        return None

    def open(self, root: Path, options: OpenOptions) -> Dataset:
        """See `DatasetFormat.open`."""
        truth: GroundTruth = options.ground_truth or "road"
        items, problems, notes = _labelled(root, truth)
        splits, split_notes, extras = split_items(items, options)
        if (root / "testing" / "image_2").is_dir():
            tests, found = images_in(root / "testing" / "image_2")
            splits["test"] = tuple(Item(key, path, None, _group(key)) for key, path in sorted(tests.items()))
            problems += found
        extras["ground_truth"] = truth
        notes = [*notes, *split_notes]
        if (own := find_classes_file(root)) is not None:
            notes.append(f"{own.name} is not read: KITTI's ground truth says road and background by itself")
        return Dataset(
            format=self.name,
            root=root,
            labels=KITTI_ROAD,
            splits=splits,
            read_mask=read_ground_truth,
            problems=tuple(problems),
            notes=tuple(notes),
            extras=extras,
        )


def _group(name: str) -> str:
    """um_000003 -> um (marked), umm (several marked lanes), uu (unmarked)."""
    return name.partition("_")[0]


def _labelled(root: Path, truth: GroundTruth) -> tuple[list[Item], list[Problem], list[str]]:
    """List training pictures with this ground truth; lane exists for um only, so it may be absent elsewhere."""
    images, problems = images_in(root / "training" / "image_2")
    masks, mask_problems = images_in(root / "training" / "gt_image_2")
    problems += mask_problems
    truths = {key.replace(f"_{truth}_", "_", 1): path for key, path in masks.items() if f"_{truth}_" in key}
    for key in sorted(truths.keys() - images.keys()):
        problems.append(Problem("unpaired", truths[key], "has no picture", f"image_2/{key}.png"))
    for key in sorted(key for key in masks if "_road_" not in key and "_lane_" not in key):
        found = "is named neither as road nor as lane ground truth"
        problems.append(Problem("unpaired", masks[key], found, "a name such as um_road_000000.png"))
    items = [Item(key, images[key], truths[key], _group(key)) for key in sorted(images.keys() & truths.keys())]
    if not items:
        other = "lane" if truth == "road" else "road"
        kinds = f"{count_of(len(masks), 'file')}, of which {sum(f'_{other}_' in key for key in masks)} of '{other}'"
        raise DataError(
            f"{root / 'training'} has no ground truth of '{truth}' for its {len(images)} pictures ({kinds})",
            f"gt_image_2/um_{truth}_000000.png and so on",
            f"try {option('ground_truth', other)}",
        )
    without = sorted(images.keys() - truths.keys())
    notes = [f"ground truth: {truth}"]
    if without:
        notes.append(
            f"{len(without)} of {len(images)} training pictures have no {truth} ground truth and are left out: "
            + listing(without)
        )
    return items, problems, notes
