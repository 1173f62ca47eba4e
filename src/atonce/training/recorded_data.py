"""The data that a run began with, kept in its folder: a run that is resumed goes on with these or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from atonce.data.checks import CheckReport
from atonce.data.dataset import Dataset, Item
from atonce.data.fingerprint import fingerprint, item_digests, picture_digest
from atonce.data.splits import keep_split, split_was_made
from atonce.errors import TrainingError, WeightsError, option
from atonce.model_file import read_metadata
from atonce.recipes import Recipe
from atonce.storage import write_text
from atonce.text import count_of, listing
from atonce.training.run_folder import RunFolder
from atonce.training.state import RunProgress
from atonce.untrusted_files import parse_json, read_json

_SPLITS = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class RecordedData:
    """A description of a data set by which a later one is compared with it; as JSON, the content of data.json.

    Attributes:
        classes: the names, in the order of their ids.
        splits: "train" and "val" -> name of each picture -> digest of its two files.
        pixels: "train" and "val" -> pixels of each class, which tell what the masks' values were taken for.
        fingerprint: see `atonce.data.fingerprint`.
        split_made: seed and share of validation of a split that was made here; None where the data bring their own.
        run: a digest of the recipe and the data that the run began with, by which it knows its own state again; None
            of a run of before.
        trained_pictures: a digest of each training picture alone, by which an evaluation knows it whatever its mask is;
            none in what an earlier version recorded.
    """

    classes: Sequence[str]
    splits: Mapping[str, Mapping[str, str]]
    pixels: Mapping[str, Sequence[int]]
    fingerprint: str
    split_made: Sequence[float] | None = None
    run: str | None = None
    trained_pictures: Sequence[str] = ()

    @classmethod
    def describe(cls, dataset: Dataset, report: CheckReport, recipe: Recipe) -> RecordedData:
        """Describe a data set that has been checked."""
        made = (recipe.data.split_seed, recipe.data.val_fraction) if split_was_made(dataset) else None
        data = fingerprint(dataset)
        return cls(
            classes=dataset.labels.names,
            splits={split: digests_of(dataset, split) for split in _SPLITS},
            pixels={split: report.statistics[split].pixel_count.tolist() for split in _SPLITS},
            fingerprint=data,
            split_made=made,
            run=hashlib.sha256(f"{data}\0{recipe.model_dump_json()}".encode()).hexdigest()[:16],
            trained_pictures=[picture_digest(item.image) for item in dataset.splits.get("train", ())],
        )

    def save(self, path: Path) -> None:
        """Write the description. Raises StorageError."""
        write_text(path, json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> RecordedData | None:
        """Read a description; None where there is none.

        Raises:
            TrainingError: the file is damaged.
        """
        if not path.exists():
            return None
        try:
            data: dict[str, Any] = read_json(path)
            made = data["split_made"]
            return cls(
                classes=tuple(str(name) for name in data["classes"]),
                splits={s: {str(k): str(v) for k, v in data["splits"][s].items()} for s in _SPLITS},
                pixels={s: [int(count) for count in data["pixels"][s]] for s in _SPLITS},
                fingerprint=str(data["fingerprint"]),
                split_made=None if made is None else (float(made[0]), float(made[1])),
                run=None if data.get("run") is None else str(data["run"]),
                trained_pictures=[str(digest) for digest in data.get("trained_pictures", ())],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise TrainingError(
                f"{path} is damaged", "the description of the data that the run began with", "remove it to do without"
            ) from None


def digests_of(dataset: Dataset, split: str) -> dict[str, str]:
    """Compute name -> digest of picture and mask for the items of a split."""
    digests = {}
    for item in dataset.splits.get(split, ()):
        digests[item.name] = hashlib.sha256(b"".join(item_digests(item, dataset.root))).hexdigest()[:16]
    return digests


class DataOfRun:
    """The comparison of a data set with the one that a run began with.

    Args:
        folder: the run.
        root: the folder of data that it is to go on with.
    """

    def __init__(self, folder: RunFolder, root: Path) -> None:
        self.folder, self.root = folder, root
        self.recorded = RecordedData.read(folder.data)

    def require_own_state(self, progress: RunProgress) -> None:
        """Raise TrainingError where the state is of another run: its network and its validations would replace ours."""
        if self.recorded and self.recorded.run != progress.run:
            raise TrainingError(
                f"{self.folder.state} is the state of another run",
                f"that of the run in {self.folder.path}, which began with other data or another recipe",
                f"put its own state back, or start anew: {self._way_on()}",
            )

    def restrict(self, dataset: Dataset, recipe: Recipe) -> tuple[Dataset, str]:
        """Return the data set as it was when the run began, and a note on what has been added since, if anything.

        The split is the recorded one. What has been added is left out.

        Raises:
            TrainingError: classes or split are others, pictures have gone or changed; all of it in one line.
        """
        recorded = self.recorded
        if recorded is None:
            self._require_same_description(dataset)
            return dataset, ""
        self._require_same_classes(recorded.classes, dataset)
        made = (recipe.data.split_seed, recipe.data.val_fraction) if split_was_made(dataset) else None
        if recorded.split_made and made and tuple(recorded.split_made) != made:
            seed, share = recorded.split_made
            found = f"data.split_seed = {made[0]} and data.val_fraction = {made[1]} would split {self.root} anew"
            raise self._refusal(found, f"{seed:g} and {share}, which the run began with")
        now = {split: digests_of(dataset, split) for split in _SPLITS}
        differences = list(self._differences(recorded, now, own_split=made is None))
        if differences:
            raise self._refusal(f"{self.root} is not what it was: {'; '.join(differences)}")
        known = {name for split in _SPLITS for name in recorded.splits[split]}
        added = sum(name not in known for split in _SPLITS for name in now[split])
        if not added and all(now[split].keys() == recorded.splits[split].keys() for split in _SPLITS):
            return dataset, ""
        items = {item.name: item for split in _SPLITS for item in dataset.splits.get(split, ())}
        same: dict[str, tuple[Item, ...]] = {
            split: tuple(items[name] for name in sorted(recorded.splits[split])) for split in _SPLITS
        }
        extras = dict(dataset.extras)
        if made is not None:
            extras["split_val"] = json.dumps(sorted(recorded.splits["val"]))
        note = f"{count_of(added, 'picture')} added to {self.root} since the run began: left out, the split is kept"
        note += f"; to learn from them, start anew from this model: {self._way_on()}"
        return replace(dataset, splits={**dataset.splits, **same}, extras=extras), note if added else ""

    def require_same_masks(self, report: CheckReport) -> None:
        """Raise TrainingError where the same masks are read as other ids than when the run began."""
        for split in _SPLITS if self.recorded else ():
            assert self.recorded
            then, now = self.recorded.pixels[split], report.statistics[split].pixel_count.tolist()
            changed = [
                f"{name} {before} -> {count}"
                for name, before, count in zip(self.recorded.classes, then, now, strict=False)
                if before != count
            ]
            if changed:
                found = f"the masks of {self.root} are read as other classes: pixels of {listing(changed, 3)}"
                raise self._refusal(found)

    def _differences(
        self, recorded: RecordedData, now: Mapping[str, Mapping[str, str]], *, own_split: bool
    ) -> Iterator[str]:
        then = {name: (split, digest) for split in _SPLITS for name, digest in recorded.splits[split].items()}
        here = {name: (split, digest) for split in _SPLITS for name, digest in now[split].items()}
        gone = [name for name in then if name not in here]
        changed = [name for name in then if name in here and here[name][1] != then[name][1]]
        moved = [name for name in then if name in here and here[name][0] != then[name][0] and own_split]
        for names, what in ((gone, "gone"), (changed, "changed"), (moved, "in another split")):
            if names:
                yield f"{count_of(len(names), 'picture or mask', 'pictures or masks')} {what} ({listing(names, 3)})"

    def _require_same_classes(self, classes: Sequence[str], dataset: Dataset) -> None:
        names = dataset.labels.names
        if tuple(classes) == names:
            return
        if sorted(classes) == sorted(names):
            found = f"the order {listing(names, 4)} instead of {listing(classes, 4)}"
        elif len(classes) == len(names):
            pairs = (f"{new} instead of {old}" for old, new in zip(classes, names, strict=True) if old != new)
            found = listing(pairs, 4)
        else:
            parts = (("new", [n for n in names if n not in classes]), ("gone", [n for n in classes if n not in names]))
            found = "; ".join(f"{word}: {listing(some, 4)}" for word, some in parts if some)
        raise self._refusal(f"{self.root} has other classes than the run began with: {found}")

    def _require_same_description(self, dataset: Dataset) -> None:
        """Compare with what the model file says, where a run of the first edition recorded no more."""
        for path in (self.folder.last, self.folder.model):
            try:
                data = read_metadata(path)
                classes = [str(name) for name in data["labels"]["names"]]
                trained_on = dict(data["training_data"])
            except (WeightsError, KeyError, TypeError, ValueError):
                continue
            self._require_same_classes(classes, dataset)
            if trained_on.get("fingerprint") not in (None, fingerprint(dataset)):
                was = trained_on.get("pictures", {})
                sizes = ", ".join(f"{len(dataset.splits.get(s, ()))} {s} (then {was.get(s, '?')})" for s in _SPLITS)
                raise self._refusal(f"{self.root} is not what it was: pictures, masks or split have changed: {sizes}")
            return

    def _refusal(self, found: str, expected: str = "the data that the run began with") -> TrainingError:
        return TrainingError(found, expected, f"put it back, or start anew from this model: {self._way_on()}")

    def _way_on(self) -> str:
        new = option("out", "NEW")
        return f"{option('weights', self.folder.path)} {new}" if self.folder.model.is_file() else new


def split_of_weights(dataset: Dataset, weights: str, recipe: Recipe) -> tuple[Dataset, str]:
    """Keep the split of the run that a model comes from, where a new run's split would be made here.

    Without it, pictures that the model was trained on could come into the validation split, and flatter it. Pictures
    that the run did not know are split as in every run.

    Args:
        weights: a run folder or a model file.

    Returns:
        The data set, and a note if its split is another one now.
    """
    if not split_was_made(dataset):
        return dataset, ""
    path = Path(weights)
    folder = RunFolder(path if path.is_dir() else path.parent)
    recorded = RecordedData.read(folder.data) if path.is_dir() or path in (folder.model, folder.last) else None
    if recorded:
        train, val = set(recorded.splits["train"]), set(recorded.splits["val"])
    else:
        try:
            described = read_metadata(folder.model if path.is_dir() else path)["training_data"]["split_val"]
            val, train = set(parse_json(described)), None
        except (WeightsError, KeyError, TypeError, ValueError):
            return dataset, ""
    return keep_split(
        dataset,
        val=val,
        train=train,
        seed=recipe.data.split_seed,
        val_fraction=recipe.data.val_fraction,
        whose=str(path),
    )
