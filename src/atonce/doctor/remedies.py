"""What the doctor writes when asked: a classes file with all that was found, and a split that keeps copies together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import yaml

from atonce.data.dataset import Dataset, Item
from atonce.data.masks import ClassMask
from atonce.data.splits import order_by_seed
from atonce.doctor.copies import Pairs
from atonce.doctor.findings import relative
from atonce.doctor.image_hashes import clusters
from atonce.doctor.observations import Value
from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX, Colour, LabelSpec
from atonce.storage import make_folder, write_text

_MOST_UNKNOWN = 40
_HEAD = "# Found by `atonce doctor`. Give what is unknown its name, or mark it with `void: true`.\n"
_LABELLED = ("train", "val")

_Cluster = dict[str, Item]
"""Pictures that belong on one side, by split and name."""


def classes_file(dataset: Dataset, unknown: Counter[Value], by_colour: bool) -> str:
    """classes.yaml of a data set: its classes as they are read now, and whatever was found beyond them.

    Empty where the layout has a reader of its own (KITTI road, Cityscapes), which no such file could replace.

    Args:
        unknown: values or colours of no class -> pixels.
        by_colour: the masks are RGB, so that colours decide and values would mean nothing.
    """
    reader = dataset.read_mask
    if not isinstance(reader, ClassMask):
        return ""
    new = [value for value, _ in unknown.most_common(_MOST_UNKNOWN) if isinstance(value, tuple) == by_colour]
    entries = [_entry(name, colour) for name, colour in zip(dataset.labels.names, dataset.labels.palette, strict=True)]
    if by_colour:
        entries += [_entry(f"unknown {i}", colour) for i, colour in enumerate(new, 1) if isinstance(colour, tuple)]
        void = [colour for colour, class_id in reader.colours if class_id == IGNORE_INDEX]
        entries += [_entry(_void(i), colour, void=True) for i, colour in enumerate(void)]
        return _dump(entries)
    values = {class_id: value for value, class_id in reversed(reader.values)}
    for class_id, entry in enumerate(entries):
        entry["value"] = values.get(class_id, class_id)
    spare = _spare_colours(dataset.labels, len(new))
    for value, colour in zip(new, spare, strict=True):
        entries.append({**_entry(f"unknown {value}", colour), "value": value})
    numbers = [value for value, class_id in reader.values if class_id == IGNORE_INDEX]
    # 255 is void without being told so.
    numbers = [number for number in numbers if number != IGNORE_INDEX]
    entries += [{"name": _void(i), "value": number, "void": True} for i, number in enumerate(numbers)]
    return _dump(entries)


def _entry(name: str, colour: Colour, void: bool = False) -> dict[str, object]:
    return {"name": name, "colour": list(colour), **({"void": True} if void else {})}


def _void(number: int) -> str:
    return "void" if number == 0 else f"void {number + 1}"


def _spare_colours(labels: LabelSpec, count: int) -> list[Colour]:
    """Colours that no class has."""
    generated = LabelSpec.from_names([str(i) for i in range(min(IGNORE_INDEX, count + labels.num_classes))]).palette
    return [colour for colour in dict.fromkeys(generated) if colour not in labels.palette][:count]


def _dump(entries: Iterable[Mapping[str, object]]) -> str:
    lines = [yaml.safe_dump(dict(entry), default_flow_style=True, sort_keys=False, width=1000) for entry in entries]
    return _HEAD + "classes:\n" + "".join(f"  - {line}" for line in lines)


def propose_split(dataset: Dataset, pairs: Pairs, val_fraction: float, seed: int) -> dict[str, list[Item]]:
    """Items of "train" and "val" split anew: pictures that are the same, or nearly, stay on one side.

    In each stratum whole clusters go to "val", in an order that follows from the names and the seed, as long as
    they fit into `val_fraction` of its pictures. A stratum of one cluster stays in "train".

    Raises:
        DataError: everything hangs together, so that nothing is left for "val".
    """
    places = [i for i, seen in enumerate(pairs.seen) if seen.split in _LABELLED and seen.item.mask is not None]
    linked = [pair for group in pairs.same for pair in pairwise(group)]
    joined = np.concatenate([pairs.near, np.array(linked, np.int64).reshape(-1, 2)])
    cluster_of = clusters(len(pairs.seen), joined)
    strata: defaultdict[str, defaultdict[int, _Cluster]] = defaultdict(lambda: defaultdict(dict))
    for place in places:
        seen = pairs.seen[place]
        strata[seen.item.group][int(cluster_of[place])][f"{seen.split}/{seen.item.name}"] = seen.item
    split: dict[str, list[Item]] = {"train": [], "val": []}
    for clustered in strata.values():
        _share_out(list(clustered.values()), val_fraction, seed, split)
    if not split["val"]:
        found = f"the {len(places)} pictures of {dataset.root} all resemble each other, in {len(strata)} groups"
        raise DataError(found, "pictures of several scenes to split between", "split by hand, by time or place")
    return {name: sorted(items, key=lambda item: str(item.image)) for name, items in split.items()}


def _share_out(clustered: list[_Cluster], val_fraction: float, seed: int, split: dict[str, list[Item]]) -> None:
    """Clusters of one stratum to the splits, adding to `split`."""
    by_name = {min(cluster): cluster for cluster in clustered}
    wanted, taken = max(1, round(val_fraction * sum(map(len, clustered)))), 0
    late: list[_Cluster] = []
    for name in order_by_seed(by_name, seed):
        cluster = by_name[name]
        if taken + len(cluster) <= wanted:
            split["val"] += cluster.values()
            taken += len(cluster)
        else:
            late.append(cluster)
    if taken == 0 and len(late) > 1:  # all are larger than asked for: the smallest comes nearest
        smallest = min(late, key=len)
        late.remove(smallest)
        split["val"] += smallest.values()
    split["train"] += [item for cluster in late for item in cluster.values()]


def write_split(dataset: Dataset, split: Mapping[str, Iterable[Item]], folder: Path) -> list[Path]:
    """train.txt and val.txt: lines of "picture mask" relative to the data's root, as CamVid's lists have them.

    Raises:
        DataError: one of the files is there already.
        StorageError: the folder cannot be written.
    """
    targets = {name: folder / f"{name}.txt" for name in split}
    for path in targets.values():
        refuse_existing(path)
    make_folder(folder)
    for name, items in split.items():
        lines = [
            f"{relative(item.image, dataset.root)} {relative(item.mask, dataset.root)}\n" for item in items if item.mask
        ]
        write_text(targets[name], "".join(lines))
    return list(targets.values())


def refuse_existing(path: Path) -> None:
    """Raises DataError where there is something at `path`: what a person wrote is never overwritten."""
    if path.exists():
        raise DataError(f"{path} is there already", "a new file to write", "move it away, or choose another name")
