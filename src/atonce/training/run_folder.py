"""The run folder: its files, and how they stay readable whatever happens."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from atonce.data.images import IMAGE_SUFFIXES
from atonce.errors import TrainingError, option
from atonce.recipes import Recipe, load_recipe, to_yaml
from atonce.reports.html_document import refuse_foreign_page
from atonce.storage import (
    file_stem,
    make_folder,
    none_to_nan,
    remove_file_or_folder,
    remove_temporaries,
    storage_errors,
    write_text,
)
from atonce.untrusted_files import (
    LARGEST_LIST,
    open_in_place,
    parse_json,
    read_bytes,
    read_json,
    read_table,
    require_in_place,
)


class RunFolder:
    """The files of a run.

    Attributes:
        recipe: recipe.yaml, the full resolved recipe.
        log: log.jsonl, a line every `train.log_every` steps.
        metrics: metrics.csv, a line a validation.
        info: run.json, how the run came about; written when it is evaluated.
        model: model.safetensors, the best on validation.
        last: last.safetensors, the network of the last validation.
        state: state/state.safetensors, from which the run is resumed.
        data: data.json, the data that it began with.
        pictures: validation pictures, drawn at each validation.
        trackers: trackers.json, the ids of its runs in experiment trackers (train.track).
        tensorboard: events for TensorBoard.
        wandb: files of Weights & Biases.
        is_new: whether the run began here and now, by `write_recipe`.
        decoded: decoded training pictures, while it trains with data.cache: disk.
    """

    DECODED = "decoded"
    """The name of the folder of decoded pictures, which is of use while it trains on this machine only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.log = path / "log.jsonl"
        self.metrics = path / "metrics.csv"
        self.info = path / "run.json"
        self.model = path / "model.safetensors"
        self.last = path / "last.safetensors"
        self.state = path / "state" / "state.safetensors"
        self.data = path / "data.json"
        self.pictures = path / "pictures"
        self.trackers = path / "trackers.json"
        self.tensorboard = path / "tensorboard"
        self.wandb = path / "wandb"
        self.is_new = False
        self.decoded = path / self.DECODED

    def picture(self, name: str, step: int) -> Path:
        """The path of a validation picture that is drawn at a step."""
        return self.pictures / f"{file_stem(name)}_{step:06d}.jpg"

    def require_place(self, data: Path) -> None:
        """Raise TrainingError where a run cannot have its files: among those of somebody else, or among pictures.

        Args:
            data: the folder of the data set, which may lie in that of the run, as the demo's does.
        """
        if not self.recipe.exists() and not self.state.exists():
            require_place(self.path, data)

    def require_new(self) -> None:
        """Raise TrainingError when there is a run already, DataError when there is somebody else's report.html."""
        refuse_foreign_page(self.path / "report.html")
        if self.recipe.exists() or self.state.exists():
            raise TrainingError(
                f"{self.path} already holds a run",
                "a new folder",
                f"add {option('resume', value=True)} to go on with it, or choose another {option('out')}",
            )

    def require_files(self, written_last: Sequence[str]) -> None:
        """Raise TrainingError where a folder has the name of a file of the run.

        Args:
            written_last: the names of the files of its evaluation, which is made when it has been trained.
        """
        ours = (self.recipe, self.log, self.metrics, self.model, self.last, self.state, self.data, self.trackers)
        for path in (*ours, *(self.path / name for name in written_last)):
            if path.is_dir():
                remedy = f"move it away, or choose another {option('out')}"
                raise TrainingError(f"{path} is a folder", "a file of the run, or nothing yet", remedy)

    def require_no_model(self) -> None:
        """Raise TrainingError when there is a trained model without the state to go on from: it would be overwritten.

        A run that was killed before its first state may have a model all the same, of an earlier step.
        """
        if not self.model.exists():
            return
        knobs = load_recipe(self.recipe).train
        rows = self._validation_steps()
        last = max([*rows, *(record["step"] for _, record in self._records())], default=0)
        # Without a number, it is saved when it is validated, after that.
        saved = len(rows) > 1 if knobs.save_every is None else last >= min(knobs.save_every, knobs.steps)
        if not saved and not self.info.is_file():
            return
        raise TrainingError(
            f"{self.path} holds a model but no {self.state.relative_to(self.path)}",
            "the state of a run to resume",
            f"start anew from the model: {option('weights', self.path)} {option('out', 'NEW')}",
        )

    def _validation_steps(self) -> list[int]:
        """The steps that metrics.csv has a row of. Raises TrainingError: it is damaged."""
        try:
            rows = read_table(self.metrics)[1] if self.metrics.exists() else []
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"{self.metrics} is damaged ({error})", "a table with a row a validation", "remove it to do without"
            ) from None
        steps = [none_to_nan(row.get("step")) for row in rows]
        return [int(step) for step in steps if math.isfinite(step)]

    def make(self) -> None:
        """Make the folders. Raises StorageError, also where a link leads what is written here elsewhere."""
        folders = (self.state.parent, self.pictures, self.decoded, self.tensorboard, self.wandb, self.path / "gallery")
        require_in_place(self.log, *folders)
        make_folder(self.state.parent)
        make_folder(self.pictures)

    def write_recipe(self, recipe: Recipe) -> None:
        """Write the recipe that the run goes by from now on. Raises StorageError."""
        self.is_new = not self.recipe.exists()
        write_text(self.recipe, to_yaml(recipe))

    def take_back(self) -> None:
        """Remove what there is of a run that has not made a step, so that it can be begun once more."""
        for path in (self.recipe, self.data, self.trackers, self.tensorboard, self.wandb, self.decoded):
            remove_file_or_folder(path)
        for folder in (self.state.parent, self.pictures):
            with suppress(OSError):
                folder.rmdir()

    def remove_decoded(self) -> None:
        """Remove the decoded pictures (data.cache: disk), if there are any."""
        shutil.rmtree(self.decoded, ignore_errors=True)

    def rewind(self, logged: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take back what a session that was killed left after its last state. Raises StorageError.

        Args:
            logged: the step of the last line of the log that stays.
            rows: the validations that there have been.
        """
        for folder in (self.path, self.state.parent, self.pictures):
            remove_temporaries(folder)
        self.truncate_log(logged)
        self.write_metrics(rows)

    def sessions_of_first_edition(self) -> list[dict[str, Any]]:
        """Return the session that run.json tells of, for a state that holds none; empty without such a file."""
        try:
            told = read_json(self.info)
            return [{key: told[key] for key in ("command", "commit", "started")}]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def append_log(self, record: Mapping[str, Any]) -> None:
        """Add one line of JSON. Raises StorageError."""
        with storage_errors(self.log):
            descriptor = open_in_place(self.log, os.O_WRONLY | os.O_APPEND)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def truncate_log(self, step: int) -> None:
        """Remove the lines after a step, and from the first one on that is no record: a crash left it unfinished, or
        a disk damaged it."""
        if self.log.exists():
            kept = [line + "\n" for line, record in self._records() if record["step"] <= step]
            write_text(self.log, "".join(kept))

    def _records(self) -> list[tuple[str, dict[str, Any]]]:
        """The lines of the log and the records in them, up to the first line that holds none."""
        records: list[tuple[str, dict[str, Any]]] = []
        try:
            content = read_bytes(self.log, LARGEST_LIST) if self.log.exists() else b""
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"{self.log} cannot be read ({error})", "a log with a line of JSON a step", "remove it to do without"
            ) from None
        for line in content.splitlines():
            try:
                text = line.decode("utf-8")
                record = parse_json(text)
            except ValueError:
                break
            if not isinstance(record, dict) or not isinstance(record.get("step"), int):
                break
            records.append((text, record))
        return records

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write metrics.csv: one line a validation, from first to last. Raises StorageError."""
        if rows:
            text = io.StringIO()
            writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            write_text(self.metrics, text.getvalue())


_LOG_SUFFIXES = frozenset({".log", ".out", ".err"})
"""Files that a scheduler or a shell puts where the results are to be, before there are any."""


def require_place(folder: Path, data: Path) -> None:
    """Require a folder for results to be new or empty, and not to lie among the data's pictures.

    Hidden files, logs of a scheduler and empty folders count as nothing; and so does the data set, where it lies in the
    folder.

    Raises:
        TrainingError: files of somebody else are there, or it is the folder of the data, or lies in one of pictures.
    """
    remedy = f"choose another {option('out')}"
    absolute, root = folder.resolve(), data.resolve()
    if absolute == root:
        raise TrainingError(f"{folder} is the folder of the data", "a new folder for the results", remedy)
    # A folder of its own in the data's is fine, whatever lies beside it: who stands in the data has `runs` there.
    above = [path for path in absolute.parents if path.is_relative_to(root) and path != root]
    if among := next((path for path in above if _holds_pictures(path)), None):
        expected = "a folder that is not read as data"
        raise TrainingError(f"{folder} lies among the pictures in {among}", expected, remedy)
    there = next(_foreign(absolute, root), None)
    if there is not None:
        found = f"{folder} holds {there.name}{'/' * there.is_dir()}, which is of no run"
        raise TrainingError(found, "a new or empty folder", remedy)


def _holds_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


def _foreign(folder: Path, data: Path) -> Iterator[Path]:
    """Yield what is in a folder, but for hidden files, logs, empty folders and the data."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or path.suffix in _LOG_SUFFIXES or data.is_relative_to(path):
            continue
        if not path.is_dir() or any(path.iterdir()):
            yield path
