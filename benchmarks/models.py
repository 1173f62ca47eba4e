"""python -m benchmarks.models: trained models side by side, their size, speed and mean IoU, on pictures they have not
learned from; in one run."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atonce.data import open_dataset
from atonce.data.images import read_image
from atonce.errors import UserError
from atonce.evaluation.scoring import score_items
from atonce.inference import Predictor, load
from atonce.model import FCN
from atonce.storage import write_text
from benchmarks.machine import about
from benchmarks.operations import Cell, forward_operations
from benchmarks.table import table_lines
from benchmarks.timing import Repetitions, Series, quartiles, take_turns
from benchmarks.workers import Contestant, Job, crew


@dataclass(frozen=True)
class Entry:
    """A model file, or a file of `atonce export`, and what runs it."""

    model: Path
    engine: str

    @property
    def name(self) -> str:
        return f"{self.model}, {self.engine}"

    def predictor(self) -> Predictor:
        return load(self.model, device="cpu", engine=self.engine)

    @property
    def megabytes(self) -> float:
        """With the weights that OpenVINO keeps beside the graph."""
        beside = self.model.with_suffix(".bin") if self.model.suffix == ".xml" else self.model
        return sum(path.stat().st_size for path in {self.model, beside}) / 1e6


class Segmenting:
    """One picture at a time, from uint8 pixels to labels."""

    def __init__(self, entry: Entry) -> None:
        self.predictor = entry.predictor()

    def prepare(self, case: NDArray[np.uint8]) -> Job:
        return lambda: self.predictor(case).labels


def measure(entries: Sequence[Entry], data: Path) -> list[list[str]]:
    """A header and a row for each entry. Raises UserError: a file cannot be read, or an engine is missing."""
    dataset = open_dataset(data)
    items = dataset.split("val")
    # All of them at once: a file that is missing is told before the first one has been scored.
    predictors = [entry.predictor() for entry in entries]
    scores = [score_items(predictor, dataset, items).confusion.mean_iou for predictor in predictors]
    image = read_image(items[0].image)
    makers: dict[str, Callable[[], Contestant]] = {entry.name: partial(Segmenting, entry) for entry in entries}
    failed: dict[str, str] = {}
    with crew(makers, failed) as runners:
        found = take_turns(runners, image, Repetitions(least=15), 0, failed)
    if failed:
        raise UserError("; ".join(f"{name}: {reason}" for name, reason in failed.items()))
    height, width = image.shape[:2]
    head = ["", "million weights", "file", f"GFLOP at {width}x{height}", "mean IoU", "median", "IQR", "pictures/s"]
    return [head, *(_row(e, found[e.name], score, (height, width)) for e, score in zip(entries, scores, strict=True))]


def _row(entry: Entry, series: Series, score: float, size: tuple[int, int]) -> list[str]:
    bundle = entry.predictor().model_file
    seen = Cell(*bundle.input_size.apply(*size), 1)
    operations = forward_operations(partial(FCN, bundle.model.config, bundle.labels.num_classes), seen)
    weights = sum(parameter.numel() for parameter in bundle.model.parameters())
    low, median, high = quartiles(series.seconds)
    numbers = [f"{weights / 1e6:.1f}", f"{entry.megabytes:.1f} MB", f"{operations / 1e9:.1f}", f"{score:.4f}"]
    times = [f"{1e3 * median:.0f} ms", f"{1e3 * (high - low):.0f} ms", f"{1 / median:.1f}"]
    return [entry.name, *numbers, *times]


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and write the table. Exit code 2: the user's mistake."""
    parser = argparse.ArgumentParser("python -m benchmarks.models", description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", help="model files; .onnx and .xml run on their own engine")
    parser.add_argument("--data", type=Path, required=True, help="data whose split val is segmented and scored")
    parser.add_argument("--engines", default="torch,openvino", help="of model files (default torch,openvino)")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/models.md"))
    asked = parser.parse_args(words)
    entries = []
    for model in asked.models:
        own = {".xml": "openvino", ".onnx": "onnxruntime"}.get(model.suffix)
        entries += [Entry(model, engine) for engine in ([own] if own else asked.engines.split(","))]
    try:
        rows = measure(entries, asked.data)
        told = _told(sys.argv[1:] if words is None else words)
        text = "\n".join([told, "", *table_lines(rows), ""])
        write_text(asked.out, text)
    except UserError as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        sys.exit(2)
    print(text)


def _told(words: Sequence[str]) -> str:
    """What was run, of which commit, when and where."""
    command, found = shlex.join(["python", "-m", "benchmarks.models", *words]), about(0, "cpu")
    machine = found["machine"]
    where = f"{machine['processor']}, {machine['cores']} cores ({', '.join(machine['flags'])})"
    return f"`{command}` at commit {found['commit']}, {found['date']}; {where}"


if __name__ == "__main__":
    main()
