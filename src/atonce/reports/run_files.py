"""Read the files of a run directory or an evaluation folder, for a report; whatever is missing is empty."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atonce.errors import DataError, WeightsError
from atonce.labels import Colour
from atonce.model_file import read_metadata
from atonce.storage import none_to_nan
from atonce.untrusted_files import LARGEST_LIST, is_ordinary, parse_json, parse_table, read_text
from atonce.yaml_loader import YamlProblem, parse_yaml

MEANS = ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")
_PROGRESS_PICTURE = re.compile(r"(.+)_(\d{6,})\.jpg")


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """The files of a run directory or an evaluation folder, checked as far as the report relies on them.

    Attributes:
        folder: the directory itself.
        recipe: recipe.yaml as text, word for word; `settings` is the same, parsed.
        log: records of log.jsonl, oldest first.
        validations: rows of metrics.csv as numbers, NaN where a class was absent.
        evaluation: evaluation.json; empty where there is none.
        gallery: entries of gallery.json.
        run_info: run.json, versions and circumstances.
        palette: class name -> colour; empty where no file tells.
        progress: picture name -> [(step, file), ...], oldest first.
    """

    folder: Path
    recipe: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    log: Sequence[Mapping[str, Any]] = ()
    validations: Sequence[Mapping[str, float]] = ()
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    gallery: Sequence[Mapping[str, Any]] = ()
    run_info: Mapping[str, Any] = field(default_factory=dict)
    palette: Mapping[str, Colour] = field(default_factory=dict)
    progress: Mapping[str, Sequence[tuple[int, Path]]] = field(default_factory=dict)

    @property
    def is_training(self) -> bool:
        """True for a run directory, False for a folder that only holds an evaluation."""
        return bool(self.recipe or self.log or self.validations)

    @property
    def best(self) -> Mapping[str, float] | None:
        """The validation whose model was kept: the first one of the highest mean IoU, of the last stage."""
        last = self.validations[-1].get("stride") if self.validations else None
        scored = [r for r in self.validations if math.isfinite(r["mean_iou"]) and r.get("stride") == last]
        return max(scored, key=lambda row: row["mean_iou"]) if scored else None

    @property
    def last_step(self) -> float | None:
        """The last step that a record of the log or a validation tells of; None where there are none."""
        steps = [none_to_nan(row.get("step")) for row in (*self.log[-1:], *self.validations[-1:])]
        return max(filter(math.isfinite, steps), default=None)

    @property
    def scores(self) -> Mapping[str, Any]:
        """The four means: as evaluated at the end, or else of the best validation so far."""
        return self.evaluation or self.best or {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their ids."""
        if self.evaluation:
            return tuple(c["name"] for c in self.evaluation["classes"])
        return tuple(key[4:] for key in (self.validations[0] if self.validations else ()) if key.startswith("iou "))

    @property
    def minutes(self) -> float | None:
        """The minutes that training took; None where no file tells."""
        if "minutes" in self.run_info:
            return none_to_nan(self.run_info["minutes"])
        seconds = [none_to_nan(record.get("seconds")) for record in self.log[-1:]]
        return seconds[0] / 60 if seconds else None


def read_run_files(folder: Path) -> RunFiles:
    """Read the files of a run directory or an evaluation folder.

    Raises:
        DataError: there is nothing to report, or a file is damaged.
    """
    recipe, evaluation = _text(folder / "recipe.yaml"), _json(folder / "evaluation.json", dict)
    if evaluation:
        _require_evaluation(folder / "evaluation.json", evaluation)
    files = RunFiles(
        folder=folder,
        recipe=recipe,
        settings=_settings(recipe),
        log=_read_log(folder / "log.jsonl"),
        validations=_read_metrics(folder / "metrics.csv"),
        evaluation=evaluation,
        gallery=[entry for entry in _json(folder / "gallery.json", list) if isinstance(entry, dict)],
        run_info=_json(folder / "run.json", dict),
        palette=_palette(folder, evaluation),
        progress=_progress(folder / "pictures"),
    )
    if not (files.is_training or files.evaluation):
        raise DataError(
            f"{folder} holds nothing to report",
            "a run directory (recipe.yaml, log.jsonl, metrics.csv) or an evaluation (evaluation.json)",
        )
    return files


def _text(path: Path) -> str:
    try:
        return read_text(path, LARGEST_LIST) if path.exists() else ""
    except (OSError, ValueError) as error:
        remedy = "remove it or make it again"
        raise DataError(f"{path} cannot be read: {error}", "a text file in UTF-8", remedy) from None


def _json(path: Path, kind: type) -> Any:
    """Return the parsed file, or an empty `kind` where there is none."""
    text = _text(path)
    if not text:
        return kind()
    try:
        data = parse_json(text)
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}", "JSON", "remove it or make it again") from None
    if not isinstance(data, kind):
        raise DataError(f"{path} holds a {type(data).__name__}", f"a {kind.__name__}", "remove it or make it again")
    return data


def _require_evaluation(path: Path, data: Mapping[str, Any]) -> None:
    """Refuse what is no evaluation: the report computes with classes and confusion matrix."""
    classes, matrix = data.get("classes"), data.get("confusion")
    fine = (
        isinstance(classes, list)
        and all(isinstance(c, dict) and isinstance(c.get("name"), str) for c in classes)
        and isinstance(matrix, list)
        and all(isinstance(row, list) for row in matrix)
        and [len(row) for row in matrix] == [len(classes)] * len(classes)
        and all(isinstance(count, int) for row in matrix for count in row)
        and all(_is_list_of_texts(data.get(key) or []) for key in ("absent", "predicted_only"))
        and isinstance(data.get("pictures") or [], (list, dict))
        and _has_bins(data.get("calibration"))
        and _has_curves(data.get("road"))
        and all(isinstance(c.get("pixels") or 0, (int, float)) for c in classes)
    )
    if not fine:
        raise DataError(f"{path} is not an evaluation", "what `atonce evaluate` writes into a folder", "evaluate again")


def _has_bins(calibration: object) -> bool:
    """Tell whether the reliability diagram can be drawn, or there is none."""
    if not isinstance(calibration, dict):
        return True
    bins = calibration.get("bins") or []
    return isinstance(bins, list) and all(isinstance(one, dict) for one in bins)


def _has_curves(road: object) -> bool:
    """Tell whether the precision-recall curves can be drawn, or there are none."""
    categories = road.get("categories") if isinstance(road, dict) else None
    if not isinstance(road, dict) or not isinstance(categories, dict):
        return True
    rows = [row for row in [*categories.values(), road.get("pooled")] if isinstance(row, dict)]
    curves = [row.get("curve") or {} for row in rows]
    return all(
        isinstance(curve, dict) and all(isinstance(curve.get(key) or [], list) for key in ("recall", "precision"))
        for curve in curves
    )


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _settings(recipe: str) -> Mapping[str, Any]:
    """Parse the recipe for the head of the report; one that cannot be parsed is still shown as it is."""
    try:
        data = parse_yaml(recipe)
    except YamlProblem:
        return {}
    return data if isinstance(data, dict) else {}


def _read_log(path: Path) -> list[dict[str, Any]]:
    """Read records up to the first line that is not whole: the one a run is writing, or left when it died."""
    records: list[dict[str, Any]] = []
    for line in _text(path).splitlines():
        try:
            record = parse_json(line)
        except ValueError:
            break
        if isinstance(record, dict) and "step" in record:
            records.append(record)
    return records


def _read_metrics(path: Path) -> list[dict[str, float]]:
    try:
        _, rows = parse_table(_text(path))
    except ValueError as error:
        remedy = "remove it or make it again"
        raise DataError(f"{path} is damaged: {error}", "a table with a row a validation", remedy) from None
    numbers = [{key: none_to_nan(value) for key, value in row.items() if key is not None} for row in rows]
    return [row for row in numbers if math.isfinite(row.get("step", math.nan)) and "mean_iou" in row]


def _palette(folder: Path, evaluation: Mapping[str, Any]) -> dict[str, Colour]:
    """Return the palette of the evaluation, or else that of the model beside it; nothing is guessed."""
    labels: Any = {"names": [c["name"] for c in evaluation.get("classes", ())], "palette": evaluation.get("palette")}
    if not labels["palette"]:
        try:
            labels = read_metadata(folder / "model.safetensors").get("labels", {})
        except WeightsError:
            return {}
    try:
        colours = [(int(r) & 255, int(g) & 255, int(b) & 255) for r, g, b in labels["palette"]]
        return dict(zip(labels["names"], colours, strict=True))
    except (KeyError, TypeError, ValueError, OverflowError):  # OverflowError: infinity is no colour
        return {}


def _progress(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    """List the panels that each validation left in pictures/, by picture."""
    found: defaultdict[str, list[tuple[int, Path]]] = defaultdict(list)
    for path in sorted(folder.glob("*.jpg")) if folder.is_dir() else ():
        match = _PROGRESS_PICTURE.fullmatch(path.name)
        if match and is_ordinary(path):
            found[match[1]].append((int(match[2]), path))
    return {name: sorted(steps) for name, steps in sorted(found.items())}
