"""The run folder: its files, and how they stay readable whatever happens."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atonce.errors import TrainingError, option
from atonce.recipes import Recipe, to_yaml
from atonce.storage import make_folder, remove_temporaries, storage_errors, write_text


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
        pictures: validation pictures, drawn at each validation.
        decoded: decoded training pictures, while it trains with data.cache: disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.log = path / "log.jsonl"
        self.metrics = path / "metrics.csv"
        self.info = path / "run.json"
        self.model = path / "model.safetensors"
        self.last = path / "last.safetensors"
        self.state = path / "state" / "state.safetensors"
        self.pictures = path / "pictures"
        self.decoded = path / "decoded"

    def require_new(self) -> None:
        """Raise TrainingError when there is a run already."""
        if self.recipe.exists() or self.state.exists():
            raise TrainingError(
                f"{self.path} already holds a run",
                "a new folder",
                f"add {option('resume', value=True)} to go on with it, or choose another {option('out')}",
            )

    def create(self, recipe: Recipe) -> None:
        """Make the folders and write the recipe that the run goes by from now on. Raises StorageError."""
        make_folder(self.state.parent)
        make_folder(self.pictures)
        write_text(self.recipe, to_yaml(recipe))

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
            told = json.loads(self.info.read_text("utf-8"))
            return [{key: told[key] for key in ("command", "commit", "started")}]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def append_log(self, record: Mapping[str, Any]) -> None:
        """Add one line of JSON. Raises StorageError."""
        with storage_errors(self.log), self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def truncate_log(self, step: int) -> None:
        """Remove the lines after a step, and a last line that a crash left unfinished."""
        if not self.log.exists():
            return
        kept = []
        for line in self.log.read_text("utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                break
            if record["step"] <= step:
                kept.append(line + "\n")
        write_text(self.log, "".join(kept))

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write metrics.csv: one line a validation, from first to last. Raises StorageError."""
        if rows:
            text = io.StringIO()
            writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            write_text(self.metrics, text.getvalue())
