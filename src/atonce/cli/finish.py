"""After training: the best model's scores, its best and worst pictures, and the report."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from atonce.cli.show import print_scores, progress_of, results
from atonce.data.dataset import Dataset, Item
from atonce.evaluation.extra_metrics import default_metrics
from atonce.evaluation.gallery import Gallery
from atonce.evaluation.scoring import Evaluation, Measure, Segmenter, evaluate
from atonce.inference.predictor import Predictor
from atonce.reports import write_report
from atonce.storage import make_folder, write_text
from atonce.training import Run
from atonce.version import __version__


def finish(run: Run) -> Evaluation:
    """Evaluate the best model in full precision, write everything into the run directory, print the result."""
    folder, progress = run.folder, run.progress
    predictor = Predictor.from_file(folder.model, run.accelerator.device)
    minutes = progress.seconds / 60
    about = {"split": "val", "minutes": round(minutes, 2), "data": run.about_data, "best_step": progress.best_step}
    measures = default_metrics(predictor.labels)
    evaluation = run_evaluation(predictor, predictor, run.dataset, run.val_items, measures, folder.path, about)
    print_scores(evaluation.to_json(), f"{run.dataset.root} (val)")
    lines = (
        f"{progress.step} steps in {minutes:.1f} minutes, best at step {progress.best_step}",
        *_waited(run),
        f"mean IoU {evaluation.confusion.mean_iou:.4f}, pixel accuracy {evaluation.confusion.pixel_accuracy:.4f}",
        f"model    {folder.model}",
        f"report   {folder.path / 'report.html'}",
    )
    results.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    return evaluation


def _waited(run: Run) -> Iterator[str]:
    """How much of the training went by waiting for data, and what to do where that is much."""
    if run.waited is not None:
        remedy = "; more threads (data.workers) or more room (data.cache_mib) may help" if run.waited > 0.05 else ""
        yield f"waited for data: {100 * run.waited:.1f} %{remedy}"


def run_evaluation(
    predictor: Predictor,
    segmenter: Segmenter,
    dataset: Dataset,
    items: Sequence[Item],
    measures: Sequence[Measure],
    folder: Path | None,
    about: Mapping[str, Any],
) -> Evaluation:
    """Evaluate items; with a folder, leave scores, gallery, circumstances and report there.

    Args:
        segmenter: the predictor, or the predictor as a metric sees it.
        about: what run.json says beside versions and device.
    """
    gallery = Gallery() if folder else None
    if folder:
        make_folder(folder)
    with progress_of("evaluating") as progress:
        evaluation = evaluate(segmenter, dataset, items, progress, gallery, measures)
    if folder and gallery:
        evaluation.save(folder)
        write_text(folder / "gallery.json", json.dumps(gallery.save(folder), indent=1))
        data = {"format": dataset.format, "folder": str(dataset.root), "pictures": len(items)}
        write_text(folder / "run.json", json.dumps({**circumstances(predictor), "data": data, **about}, indent=1))
        write_report(folder)
    return evaluation


def circumstances(predictor: Predictor) -> dict[str, Any]:
    """Versions, device and command: what somebody needs to get the same numbers."""
    return {
        "atonce": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(predictor.device),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "command": shlex.join(["atonce", *sys.argv[1:]]),
        "commit": _COMMIT,
        "started": _STARTED,
        "parameters": sum(p.numel() for p in predictor.model.parameters()),
    }


def _commit() -> str | None:
    """The commit of the source tree that this package runs from, if it runs from one."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=10"],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


# Taken when the command begins, not when it ends: a training runs for hours while its source tree may go on.
_STARTED = datetime.now(timezone.utc).isoformat(timespec="seconds")
_COMMIT = _commit()
