"""Early stopping: `train.patience` ends a run whose validations no longer rise, and a run that goes on knows it."""

from __future__ import annotations

from pathlib import Path

from atonce.training import run_training
from tests.tiny import log_of, tiny_recipe

# Nothing is learned: the first validation stays the best one.
STUCK = ("optim.lr=1e-12", "train.steps=30", "train.validate_every=2", "train.save_every=30", "train.patience=3")


def test_a_run_ends_after_so_many_validations_without_a_better_one(street_data: Path, tmp_path: Path) -> None:
    run = run_training(tiny_recipe(*STUCK), street_data, tmp_path / "run")
    assert run.stop_reason == "3 validations without a better one (train.patience)"
    assert (run.progress.step, run.progress.best_step) == (8, 2)
    assert log_of(tmp_path / "run")[-1]["step"] == 8
    # It has been saved: a session that resumes it has nothing to do, unless it is to be more patient.
    again = run_training(tiny_recipe(*STUCK), street_data, tmp_path / "run", resume=True)
    assert again.progress.step == 8 and again.stop_reason == run.stop_reason
    patient = tiny_recipe(*STUCK, "train.patience=5")
    assert run_training(patient, street_data, tmp_path / "run", resume=True).progress.step == 12


def test_without_patience_a_run_comes_to_its_end(street_data: Path, tmp_path: Path) -> None:
    run = run_training(tiny_recipe(*STUCK, "train.patience=null"), street_data, tmp_path / "run")
    assert (run.progress.step, run.stop_reason) == (30, None)


def test_in_a_staged_training_only_the_last_stage_is_given_up(street_data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(*STUCK, "train.patience=1", "schedule=staged")
    run = run_training(recipe, street_data, tmp_path / "run")
    assert run.progress.stage == 2 and 20 < run.progress.step < 30
