"""What follows the length of a run: validations and saved states, whatever ends it, and exactly after a resume."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from atonce.recipes.schema import TrainConfig
from atonce.training import Callback, TrainingRun, run_training
from atonce.training.losses import Losses
from atonce.training.run_length import is_due, parts_of, share_done
from tests.tiny import log_of, tiny_recipe
from tests.training.test_optimizers import Clock, Ticking
from tests.training.test_resume import assert_same_tensors, metrics_of, progress_of, without_times

FOLLOWING = ("train.validate_every=null", "train.save_every=null")


def due_steps(knobs: TrainConfig, seconds_per_step: float = 0.0) -> list[int]:
    shares = [share_done(knobs, step, step * seconds_per_step) for step in range(knobs.steps + 1)]
    return [
        step
        for step, (before, share) in enumerate(pairwise(shares), 1)
        if is_due(None, knobs, step, before=before, share=share)
    ]


@pytest.mark.parametrize("steps", [1, 4, 5, 6, 7, 27, 50, 71, 280, 281, 999, 6000, 8000, 100000])
def test_a_run_of_any_length_has_five_validations_where_it_has_five_steps(steps: int) -> None:
    found = due_steps(TrainConfig(steps=steps))
    assert min(steps, 5) <= len(found) <= 20
    assert found[-1] == steps
    gaps = [after - before for before, after in pairwise([0, *found])]
    assert max(gaps) - min(gaps) <= 1


def test_longer_runs_have_more() -> None:
    lengths = {(1000, None): 5, (3000, None): 15, (8000, None): 20, (8000, 4): 5, (8000, 60): 12, (1500, 600): 7}
    assert {key: parts_of(TrainConfig(steps=key[0], max_minutes=key[1])) for key in lengths} == lengths


def test_where_minutes_end_the_run_its_validations_are_spaced_by_the_time() -> None:
    """Four minutes of nine seconds a step: 27 steps of 8000."""
    found = [step for step in due_steps(TrainConfig(steps=8000, max_minutes=4), 9.0) if step <= 27]
    assert found == [6, 11, 16, 22, 27]


def test_numbers_stay_numbers() -> None:
    knobs = TrainConfig(steps=100)
    assert [step for step in range(1, 101) if is_due(30, knobs, step, before=0, share=1)] == [30, 60, 90]


def test_minutes_end_a_run_that_has_a_curve(street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("atonce.training.loop.time.monotonic", clock.monotonic)
    recipe = tiny_recipe(*FOLLOWING, "train.max_minutes=0.2", "train.steps=1000", "optim.warmup_steps=50")
    run = run_training(recipe, street_data, tmp_path / "run", callback=Ticking(clock))
    assert run.progress.step < 20
    assert len(metrics_of(tmp_path / "run")) >= 5
    # A warm-up of a tenth of the time, and then down to the end.
    rates = [row["lr"] / 2.5e-3 for row in log_of(tmp_path / "run")]
    assert rates[0] == pytest.approx(1 / 51) and max(rates) > 0.9 and rates[3:] == sorted(rates[3:], reverse=True)


class Interrupting(Callback):
    """Interrupts after some steps, as Ctrl-C does: without saving, but for what has been saved."""

    def __init__(self, *after: int) -> None:
        self.after = after

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        step = run.progress.step
        if step in self.after:
            raise KeyboardInterrupt


LONG = ("train.validate_every=null", "train.save_every=8", "train.steps=27", "train.log_every=7", "model.dropout=0.5")


@pytest.fixture(scope="module")
def alone(street_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    run_training(tiny_recipe(*LONG), street_data, out)
    return out


def test_a_run_shorter_than_a_line_of_the_log_has_a_line_at_each_validation(street_data: Path, tmp_path: Path) -> None:
    """Its curves of loss and learning rate are curves, not dots."""
    run_training(tiny_recipe(*FOLLOWING, "train.steps=6", "train.log_every=10"), street_data, tmp_path / "run")
    log, validated = log_of(tmp_path / "run"), [int(row["step"]) for row in metrics_of(tmp_path / "run")]
    assert [row["step"] for row in log] == validated
    assert len(log) == 5


def test_the_log_ends_with_the_last_step(alone: Path) -> None:
    assert [row["step"] for row in log_of(alone)] == [6, 7, 11, 14, 17, 21, 22, 27]
    assert [row["step"] for row in metrics_of(alone)] == ["6", "11", "17", "22", "27"]


def test_resumed_anywhere_the_log_is_over_the_same_steps_and_validations_are_the_same(
    alone: Path, street_data: Path, tmp_path: Path
) -> None:
    run, recipe = tmp_path / "run", tiny_recipe(*LONG)
    # States are saved after 8, 16 and 24 steps; none of these is a step of the log.
    for after in (10, 19, 25):
        with pytest.raises(KeyboardInterrupt):
            run_training(recipe, street_data, run, resume=run.exists(), callback=Interrupting(after))
    run_training(recipe, street_data, run, resume=True)
    assert without_times(log_of(run)) == without_times(log_of(alone))
    assert metrics_of(run) == metrics_of(alone)
    for name in ("last.safetensors", "model.safetensors", "state/state.safetensors"):
        assert_same_tensors(run / name, alone / name)
    # Resumed at its end, it is left as it is: its last line is taken back and written again.
    before = log_of(run)
    run_training(recipe, street_data, run, resume=True)
    assert log_of(run) == before


class StopAt(Callback):
    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        if run.progress.step == 10:
            run.stop("seen enough")


def test_a_run_that_was_stopped_and_goes_on_has_the_log_of_one_that_was_not(
    alone: Path, street_data: Path, tmp_path: Path
) -> None:
    run, recipe = tmp_path / "run", tiny_recipe(*LONG)
    run_training(recipe, street_data, run, callback=StopAt())
    assert [row["step"] for row in log_of(run)] == [6, 7, 10]
    run_training(recipe, street_data, run, resume=True)
    assert without_times(log_of(run)) == without_times(log_of(alone))


def test_a_state_of_before_goes_on_without_what_it_does_not_hold(
    alone: Path, street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States of the first edition know nothing of steps since the last line, nor of sessions."""
    run, recipe = tmp_path / "run", tiny_recipe(*LONG)
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, street_data, run, callback=Interrupting(13))
    from atonce.training import state

    real = state.asdict  # type: ignore[attr-defined]

    def of_before(progress: Any) -> dict[str, Any]:
        return {key: value for key, value in real(progress).items() if key not in ("steps_since_log", "sessions")}

    monkeypatch.setattr(state, "asdict", of_before)
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, street_data, run, resume=True, callback=Interrupting(18))
    monkeypatch.undo()
    assert "sessions" not in progress_of(run)
    (run / "run.json").write_text(json.dumps({"command": "atonce train old", "commit": None, "started": "then"}))
    run_training(recipe, street_data, run, resume=True)
    assert [row["step"] for row in log_of(run)] == [6, 7, 11, 14, 17, 21, 22, 27]
    assert progress_of(run)["sessions"][0]["command"] == "atonce train old"


def test_a_state_of_before_there_were_other_losses_has_the_log_of_a_run_left_alone(
    alone: Path, street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recipe = tmp_path / "run", tiny_recipe(*LONG)
    from atonce.training import state

    real = state.asdict  # type: ignore[attr-defined]

    def of_before(progress: Any) -> dict[str, Any]:
        data = real(progress)
        for losses in data["steps_since_log"].get("losses", ()):
            for name in ("focal", "dice", "lovasz"):
                assert losses.pop(name) is None
        return dict(data)

    monkeypatch.setattr(state, "asdict", of_before)
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, street_data, run, callback=Interrupting(15))
    monkeypatch.undo()
    assert "dice" not in progress_of(run)["steps_since_log"]["losses"][0]
    run_training(recipe, street_data, run, resume=True)
    assert without_times(log_of(run)) == without_times(log_of(alone))
