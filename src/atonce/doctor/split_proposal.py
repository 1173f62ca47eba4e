"""A split into training and validation images that keeps duplicates and near duplicates together.

Where no picture resembles another one, and the data set brings no split, it is the one that training makes of the same
seed: see `atonce.data.splits.choose_validation`, whose rule this one extends from pictures to groups of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from atonce.data.dataset import Item
from atonce.data.splits import order_by_seed, split_was_made
from atonce.doctor.duplicate_findings import SimilarImages
from atonce.doctor.examination import Examination
from atonce.doctor.findings import relative_path
from atonce.doctor.image_hashes import connected_components
from atonce.doctor.observations import all_items
from atonce.errors import DataError, option
from atonce.storage import make_folder, refuse_existing, write_text
from atonce.text import listing

_LABELLED = ("train", "val")

_Cluster = dict[str, Item]
"""Items that belong on one side, by split and name."""


def write_split(
    examination: Examination, folder: str | Path, *, val_fraction: float = 0.2, seed: int = 0
) -> dict[str, list[Item]]:
    """Write train.txt and val.txt: a split that keeps images that are the same, or nearly, on one side.

    Their lines are "picture mask" relative to the data's root, as CamVid's lists have them.

    Args:
        folder: is made where it is missing.
        val_fraction: share of the images that goes to "val".
        seed: another one gives another split; where no pictures resemble each other, and the data set brings no
            split, it is what training does with this `data.split_seed`.

    Returns:
        The items of "train" and "val".

    Raises:
        DataError: the data set could not be opened, one of the files is there already, or all images resemble each
            other, so that nothing is left for "val".
        StorageError: the folder cannot be written.
    """
    if examination.dataset is None or examination.similar_images is None:
        raise DataError(f"{examination.root} could not be opened, so there is nothing to split", remedy="mend it first")
    targets = split_files(Path(folder))
    for path in targets.values():
        refuse_existing(path)
    root = examination.dataset.root
    made = split_was_made(examination.dataset)
    split = propose_split(root, examination.similar_images, val_fraction=val_fraction, seed=seed, anew=not made)
    make_folder(Path(folder))
    for name, items in split.items():
        write_text(targets[name], _list_of(items, root))
    return split


def split_files(folder: Path) -> dict[str, Path]:
    """Return the files that `write_split` writes into a folder, by split."""
    return {name: folder / f"{name}.txt" for name in _LABELLED}


def _list_of(items: Iterable[Item], root: Path) -> str:
    return "".join(
        f"{relative_path(item.image, root)} {relative_path(item.mask_file, root)}\n" for item in items if item.mask_file
    )


def about_split(
    examination: Examination,
    split: Mapping[str, Sequence[Item]],
    folder: str | Path,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
) -> list[str]:
    """Say what to do with a split that `write_split` has written, and which classes a side of it never shows.

    Options stand in the lines as `errors.option` writes them.

    Args:
        folder: where its lists are.
        val_fraction, seed: those that it was made with.
    """
    dataset = examination.dataset
    assert dataset is not None
    images = {side: {item.image for item in items} for side, items in split.items()}
    if split_was_made(dataset) and all({item.image for item in dataset.split(side)} == images[side] for side in split):
        knobs = {"split_seed": seed, **({"val_fraction": val_fraction} if val_fraction != 0.2 else {})}
        chosen = " ".join(option("set", f"data.{key}={value}") for key, value in knobs.items())
        lines = [f"a training takes this split without the lists, by {chosen}"]
    else:
        files = " and ".join(f"{name}.txt" for name in _LABELLED)
        if dataset.format in ("camvid", "camvid-layout"):
            use = f"copy {files} from {folder} to {dataset.root}, which is read with such lists"
        elif dataset.format == "folder":
            use = (
                f"a line of {files} is a picture and its mask: move them to train/images/ and train/masks/, or "
                f"val/images/ and val/masks/, in {dataset.root}"
            )
        else:
            use = (
                f"put the pictures of {files} into the folders or lists of their split, as the page "
                '"Your own data" has them'
            )
        lines = [use]
    shown = {item.item.image: item.mask.classes for item in all_items(examination.observations) if item.mask}
    present = {side: frozenset[int]().union(*(shown[item.image] for item in items)) for side, items in split.items()}
    for side, classes in present.items():
        names = [dataset.labels.names[i] for i in sorted(frozenset().union(*present.values()) - classes)]
        if names:
            remedy = f"another {option('seed')} gives another split"
            lines.append(f"warning: {side}.txt never shows {listing(names, 10)}; {remedy}")
    return lines


def propose_split(
    root: Path, similar: SimilarImages, *, val_fraction: float, seed: int, anew: bool = True
) -> dict[str, list[Item]]:
    """Split the items of "train" and "val" anew: images that are the same, or nearly, stay on one side.

    In each stratum whole clusters of them go to "val", in an order that follows from the names and the seed, as long
    as they fit into `val_fraction` of its images. A stratum of one cluster stays in "train".

    Args:
        root: the data set's, for the message.
        anew: the data set brings a split, whose two sides may have pictures of the same name.

    Raises:
        DataError: all images resemble each other, so that nothing is left for "val".
    """
    indices = [i for i, one in enumerate(similar.images) if one.split in _LABELLED and one.item.mask is not None]
    equal = [pair for group in similar.duplicates for pair in pairwise(group)]
    pairs = np.concatenate([similar.near_pairs, np.array(equal, np.int64).reshape(-1, 2)])
    cluster_of = connected_components(len(similar.images), pairs)
    strata: defaultdict[str, defaultdict[int, _Cluster]] = defaultdict(lambda: defaultdict(dict))
    for index in indices:
        one = similar.images[index]
        strata[one.item.group][int(cluster_of[index])][f"{one.split}/{one.item.name}" if anew else one.item.name] = (
            one.item
        )
    split: dict[str, list[Item]] = {"train": [], "val": []}
    for clusters in strata.values():
        train, val = _split_stratum(list(clusters.values()), val_fraction, seed)
        split["train"] += train
        split["val"] += val
    if not split["val"] and len(indices) == len(strata) > 1:  # strata of one picture
        alone = {name: item for clusters in strata.values() for one in clusters.values() for name, item in one.items()}
        chosen = alone[order_by_seed(alone, seed)[0]]
        split = {"train": [item for item in split["train"] if item is not chosen], "val": [chosen]}
    if not split["val"]:
        found = f"the {len(indices)} pictures of {root} all resemble each other, in {len(strata)} groups"
        raise DataError(found, "pictures of several scenes to split between", "split by hand, by time or place")
    return {name: sorted(items, key=lambda item: str(item.image)) for name, items in split.items()}


def _split_stratum(clusters: list[_Cluster], val_fraction: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Distribute the clusters of one stratum over "train" and "val"."""
    by_name: Mapping[str, _Cluster] = {min(cluster): cluster for cluster in clusters}
    count = sum(map(len, clusters))
    wanted = min(max(1, round(val_fraction * count)), count - 1)
    val: list[Item] = []
    too_large: list[_Cluster] = []
    for name in order_by_seed(by_name, seed):
        cluster = by_name[name]
        if len(val) + len(cluster) <= wanted:
            val += cluster.values()
        else:
            too_large.append(cluster)
    if not val and len(too_large) > 1:  # all are larger than asked for: the smallest comes nearest
        smallest = min(too_large, key=len)
        too_large.remove(smallest)
        val += smallest.values()
    return [item for cluster in too_large for item in cluster.values()], val
