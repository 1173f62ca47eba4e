"""What is kept of a study and of each of its runs: study.json, and result.json in the folder of a finished run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from atonce.errors import DataError
from atonce.storage import make_folder, nan_to_none, write_text

SCORES = ("mean_iou", "pixel_accuracy")


@dataclass(frozen=True)
class Record:
    """A run that is over.

    Attributes:
        failed: why it could not go on ("the loss is nan at step 12"); None where it came to its end.
        minutes: of training, validations included.
        best_step: of the validation whose model was kept, the one of the highest mean IoU.
        mean_iou, pixel_accuracy: there; NaN where there was no validation.
        last_mean_iou, last_pixel_accuracy: at the last validation.
        fingerprint: of the data.
        commit: of atonce, or its version where it does not run from a source tree.
    """

    variant: str
    seed: int
    failed: str | None
    step: int
    minutes: float
    best_step: int
    mean_iou: float
    pixel_accuracy: float
    last_mean_iou: float
    last_pixel_accuracy: float
    skip_scales: Mapping[str, float]
    fingerprint: str
    commit: str
    device: str

    def save(self, folder: Path) -> None:
        """Mark the run in this folder as finished. Raises StorageError."""
        write_text(folder / "result.json", json.dumps(nan_to_none(asdict(self)), indent=1))


@dataclass(frozen=True)
class Description:
    """What a study's folder is about.

    Attributes:
        data: the folder, absolute.
        variants: name -> overrides; the first is the baseline.
        recipe: what the variants change, in full.
        sessions: command, commit and time of each call that worked on it, oldest first.
    """

    name: str
    question: str
    data: str
    recipe_name: str
    recipe: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]
    seeds: Sequence[int]
    sessions: Sequence[Mapping[str, Any]]

    @property
    def baseline(self) -> str:
        return next(iter(self.variants))

    @property
    def title(self) -> str:
        """scaling on camvid"""
        return f"{self.name} on {Path(self.data).name}"

    def save(self, out: Path) -> None:
        """Raises StorageError."""
        make_folder(out)
        write_text(out / "study.json", json.dumps(asdict(self), indent=1))

    def records(self, out: Path) -> list[Record]:
        """The runs that are over, in the order of the study. Raises DataError: a file is damaged."""
        folders = [run_folder(out, variant, seed) for variant in self.variants for seed in self.seeds]
        return [record for folder in folders if (record := read_record(folder))]


def run_folder(out: Path, variant: str, seed: int) -> Path:
    return out / variant / f"seed-{seed}"


def read_record(folder: Path) -> Record | None:
    """None where the run is not over. Raises DataError: a damaged file."""
    data = _json(folder / "result.json")
    if data is None:
        return None
    try:
        numbers: dict[str, Any] = {f.name: data[f.name] for f in fields(Record)}
        # Only NaN is written as null, apart from the reason of a failure.
        numbers |= {k: math.nan for k, v in numbers.items() if v is None and k != "failed"}
        return Record(**numbers)
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder / 'result.json'} is damaged: {error}", remedy="remove it") from None


def read_description(out: Path) -> Description | None:
    """None where there is no study. Raises DataError: a damaged file."""
    data = _json(out / "study.json")
    if data is None:
        return None
    try:
        return Description(**data)
    except TypeError as error:
        raise DataError(f"{out / 'study.json'} is damaged: {error}", remedy="remove it") from None


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}", "JSON", "remove it") from None
    if not isinstance(data, dict):
        raise DataError(f"{path} holds a {type(data).__name__}", "what `atonce ablate` writes", "remove it")
    return data
