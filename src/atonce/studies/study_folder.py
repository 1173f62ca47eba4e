"""The folder of a study: study.json, which describes it, and result.json in the folder of each finished run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from atonce.errors import DataError
from atonce.storage import make_folder, nan_to_none, write_text
from atonce.typed_json import from_json_data
from atonce.untrusted_files import read_json

SCORES = ("mean_iou", "pixel_accuracy")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The outcome of a run: the content of result.json, which says that the run is over.

    Attributes:
        failed: why it could not go on ("the loss is nan at step 12"); None where it came to its end.
        step: the last step.
        minutes: the time of training, validations included.
        best_step: the step of the validation whose model was kept, the one of the highest mean IoU.
        mean_iou, pixel_accuracy: the scores of that validation; NaN where there was none.
        last_mean_iou, last_pixel_accuracy: those of the last validation.
        skip_scales: the factors before the score layers, {"pool4": 0.01, "pool3": 0.0001}; empty for FCN-32s.
        fingerprint: that of the data.
        commit: that of atonce, or its version where it does not run from a source tree.
        crop: height and width of the training crops; empty in results of before.
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
    crop: Sequence[int] = ()

    def save(self, folder: Path) -> None:
        """Write result.json, which says that the run in this folder is over. Raises StorageError."""
        write_text(folder / "result.json", json.dumps(nan_to_none(asdict(self)), indent=1))


@dataclass(frozen=True, kw_only=True)
class StudyDescription:
    """The description of a study: the content of study.json.

    Attributes:
        data: the folder of the data, absolute.
        variants: name -> overrides; the first is the baseline.
        recipe: the full recipe that the variants change.
        seeds: those of the runs of each variant.
        sessions: command, commit, torch's version and time of each call that worked on it, oldest first.
    """

    name: str
    question: str
    data: str
    recipe_name: str
    recipe: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]
    seeds: list[int]
    sessions: Sequence[Mapping[str, Any]]

    @property
    def baseline(self) -> str:
        """The name of the variant that the others are compared with."""
        return next(iter(self.variants))

    @property
    def title(self) -> str:
        """The study's name and its data: "scaling on camvid"."""
        return f"{self.name} on {Path(self.data).name}"

    def save(self, out: Path) -> None:
        """Write study.json. Raises StorageError."""
        make_folder(out)
        write_text(out / "study.json", json.dumps(asdict(self), indent=1))

    def results(self, out: Path) -> list[RunResult]:
        """Read the results of the runs that are over, in the order of the study. Raises DataError: a damaged file."""
        folders = [run_folder(out, variant, seed) for variant in self.variants for seed in self.seeds]
        return [result for folder in folders if (result := read_result(folder))]


def run_folder(out: Path, variant: str, seed: int) -> Path:
    """The folder of one run of the study in `out`."""
    return out / variant / f"seed-{seed}"


def read_result(folder: Path) -> RunResult | None:
    """Read the result of the run in a folder; None where it is not over. Raises DataError: a damaged file."""
    data = _read_json(folder / "result.json")
    if data is None:
        return None
    try:
        numbers: dict[str, Any] = {
            f.name: data[f.name] for f in fields(RunResult) if f.default is MISSING or f.name in data
        }
        # Only NaN is written as null, apart from the reason of a failure.
        numbers |= {k: math.nan for k, v in numbers.items() if v is None and k != "failed"}
        return from_json_data(RunResult, numbers)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / 'result.json'} is damaged: {error}", remedy="remove it") from None


def read_description(out: Path) -> StudyDescription | None:
    """Read the description of the study in a folder; None where there is none. Raises DataError: a damaged file."""
    data = _read_json(out / "study.json")
    if data is None:
        return None
    try:
        study = from_json_data(StudyDescription, data)
        if not study.variants or not study.seeds or not all("command" in session for session in study.sessions):
            raise ValueError("no variant, no seed, or a session without its command")
        dict(study.recipe.get("train", {}))
        return study
    except (TypeError, ValueError) as error:
        raise DataError(f"{out / 'study.json'} is damaged: {error}", remedy="remove it") from None


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        data = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}", "JSON", "remove it") from None
    if not isinstance(data, dict):
        raise DataError(f"{path} holds a {type(data).__name__}", "what `atonce ablate` writes", "remove it")
    return data
