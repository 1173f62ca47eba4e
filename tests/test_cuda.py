"""What only a CUDA device can show: the same numbers as the CPU and as an unbroken run, up to rounding; batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import atonce
from atonce.inference import load
from atonce.training import Callback, TrainingRun, run_training
from atonce.training.losses import Losses
from tests.data import trees
from tests.tiny import log_of, tiny_recipe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")


def test_logits_and_labels_are_those_of_the_cpu_up_to_rounding(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu, on_cpu = load(tiny_model, device="cuda"), load(tiny_model, device="cpu")
    for backend in (torch.backends.cuda.matmul, torch.backends.cudnn):
        monkeypatch.setattr(backend, "allow_tf32", False)
    for size in ((48, 64), (101, 77)):
        image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
        one, other = on_gpu.segment(image), on_cpu.segment(image)
        torch.testing.assert_close(one.logits, other.logits, atol=1e-3, rtol=1e-3)
        assert (one.labels == other.labels).mean() > 0.999


def test_a_folder_goes_through_in_batches_to_the_labels_of_single_pictures(tiny_model: Path, tmp_path: Path) -> None:
    for number in range(20):
        trees.save(tmp_path / "in" / f"{number:02}.png", trees.picture(number, (64, 48)))
    summary = atonce.predict(tiny_model, tmp_path / "in", out=tmp_path / "out", device="cuda")
    assert (summary.done, summary.broken) == (20, [])
    predictor = load(tiny_model, device="cuda")
    for number in range(20):
        with Image.open(tmp_path / "out" / "labels" / f"{number:02}.png") as picture:
            same = np.asarray(picture) == predictor(tmp_path / "in" / f"{number:02}.png").labels
        assert same.mean() > 0.999


class Steps(Callback):
    """Remembers the steps that were made, and interrupts after one, as Ctrl-C does."""

    def __init__(self, last: int | None = None) -> None:
        self.last, self.made = last, list[int]()

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        self.made.append(run.progress.step)
        if run.progress.step == self.last:
            raise KeyboardInterrupt


def test_a_training_that_was_interrupted_goes_on_as_if_it_had_not_been(street_data: Path, tmp_path: Path) -> None:
    # Two batches an epoch: the state after three steps lies in the middle of one.
    recipe = tiny_recipe("train.steps=6", "train.save_every=3", "train.validate_every=6", "train.batch_size=3")
    run_training(recipe, street_data, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, street_data, tmp_path / "again", callback=Steps(last=4))
    resumed = Steps()
    run_training(recipe, street_data, tmp_path / "again", resume=True, callback=resumed)
    assert resumed.made == [4, 5, 6]
    whole, again = log_of(tmp_path / "whole"), log_of(tmp_path / "again")
    assert [row["step"] for row in whole] == [row["step"] for row in again] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(row["loss"]) for row in whole)
    # GPUs add up in no fixed order: up to rounding, then.
    assert [row["loss"] for row in again] == pytest.approx([row["loss"] for row in whole], rel=1e-3)


def test_scores_are_those_of_the_cpu_up_to_rounding(tiny_model: Path, street_data: Path) -> None:
    on_gpu, on_cpu = (
        atonce.evaluate(tiny_model, street_data, split="all", device=device, progress=False)
        for device in ("cuda", "cpu")
    )
    assert on_gpu.mean_iou == pytest.approx(on_cpu.mean_iou, abs=2e-3)
    assert on_gpu.confusion.matrix.sum() == on_cpu.confusion.matrix.sum()
