"""atonce train --dry-run, atonce.plan: what a training would be; nothing is written."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import atonce as package
from atonce.adaptive_threads import AdaptiveThreads
from atonce.cli.show import _epochs
from atonce.errors import TrainingError
from atonce.recipes.schema import TrainConfig
from atonce.training import TrainingRun, hardware, loop, training_plan
from atonce.training.run_length import parts_of
from tests.commands import Command
from tests.tiny import SETTINGS, set_options

Snapshot = dict[str, tuple[int, bytes]]


def snapshot(folder: Path) -> Snapshot:
    """Every path below a folder, when it was changed and what it holds."""
    return {
        str(path): (path.stat().st_mtime_ns, b"" if path.is_dir() else path.read_bytes())
        for path in (folder, *folder.rglob("*"))
    }


def test_nothing_is_written_and_everything_is_said(
    atonce: Command, street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before, of_data = snapshot(tmp_path), snapshot(street_data)
    done = atonce("train", street_data, *set_options("data.cache=disk", "train.steps=30"), "--dry-run")
    assert done.code == 0, done.err
    assert snapshot(tmp_path) == before
    assert snapshot(street_data) == of_data
    for text in (
        "folder in",
        "6 train, 3 val",
        "11: Sky,",
        "64x48",
        "30 steps (10 epochs)",
        "GB at the peak",
        "guessed",
    ):
        assert text in done.out, text
    assert "nothing was written" in done.out


@pytest.mark.parametrize(
    ("number", "told"),
    [(1600.0, "1600 epochs"), (1600.3, "1600 epochs"), (2.5, "2.5 epochs"), (1.0, "1 epoch"), (1 / 3, "0.33 epochs")],
)
def test_epochs_have_the_decimals_that_tell_something(number: float, told: str) -> None:
    assert _epochs(number) == told


def test_trying_it_out_is_seen(street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of a slow machine may take minutes."""
    drawn: list[tuple[int, int]] = []

    @contextmanager
    def shown_as(what: str, *, progress: bool) -> Iterator[Callable[[int, int], None]]:
        assert what == "trying it out" and progress
        yield lambda done, total: drawn.append((done, total))

    monkeypatch.setattr(training_plan, "shown_as", shown_as)
    package.plan(street_data, recipe="streets", overrides=SETTINGS, out=tmp_path / "run")
    assert drawn == [(done, 4) for done in range(5)]


def test_python_gets_the_numbers(street_data: Path, tmp_path: Path) -> None:
    found = package.plan(
        street_data, recipe="streets", overrides=[*SETTINGS, "train.steps=30"], out=tmp_path / "run", progress=False
    )
    assert (found.steps, found.epochs, found.folder) == (30, 10, tmp_path / "run")
    assert found.data["pictures"] == {"train": 6, "val": 3}
    assert found.validations == -(-30 // 4)
    assert 0 < found.seconds_per_step < 60
    expected = 30 * found.seconds_per_step + (found.validations + 1) * 3 * found.seconds_per_picture
    assert found.seconds == pytest.approx(expected)
    assert found.memory_bytes is None or found.memory_bytes > 50e6
    assert not (tmp_path / "run").exists()


def test_minutes_end_the_guess(street_data: Path, tmp_path: Path) -> None:
    overrides = [*SETTINGS, "train.steps=100000000", "train.validate_every=null"]
    found = package.plan(street_data, overrides=overrides, max_minutes=2, out=tmp_path / "run", progress=False)
    assert 120 <= found.seconds < 180
    assert found.steps < found.steps_left == 100_000_000
    assert found.validations == parts_of(TrainConfig(steps=100_000_000, max_minutes=2))


def test_the_rest_of_a_run(street_data: Path, tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    before = snapshot(tmp_path)
    found = package.plan(street_data, out=run, resume=True, overrides=["train.steps=10"], progress=False)
    assert (found.steps, found.recipe.train.steps) == (6, 10)
    assert snapshot(tmp_path) == before


def resident_bytes() -> int:
    """What this process, which has run other tests, holds; 0 where nothing tells."""
    status = Path("/proc/self/status")
    found = re.search(r"VmRSS:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


def test_memory_is_that_of_the_training_alone(street_data: Path, tmp_path: Path) -> None:
    """What the process used before does not count, and a larger batch does."""
    before = np.ones(250_000_000, np.float64)
    assert before[-1] == 1
    del before
    held, peaks = resident_bytes(), []
    for batch in (1, 12):
        overrides = [*SETTINGS, f"train.batch_size={batch}", "data.crop=[256,256]", "augment.scale=[4,6]"]
        found = package.plan(
            street_data, recipe="streets", overrides=overrides, out=tmp_path / "run", progress=False, device="cpu"
        )
        peaks.append(found.memory_bytes or 0)
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the system does not forget the peak of a process")
    assert peaks[0] < peaks[1] - 100e6
    assert peaks[1] < held + 1.9e9


def test_what_has_been_read_is_not_downloaded_and_the_recipe_is_the_run_s(
    street_data: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    named = ["weights=vgg16-imagenet1k-features", "train.steps=10"]
    found = package.plan(street_data, out=run, resume=True, overrides=named, progress=False)
    assert not any("would be downloaded" in note for note in found.notes)
    assert found.recipe.weights == "vgg16-imagenet1k-features"


def test_steps_are_timed_with_the_threads_and_rates_of_the_run(
    street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float]] = []
    make_update = loop.update

    def watched(run: TrainingRun, *words: Any) -> Any:
        seen.append((torch.get_num_threads(), max(group["lr"] for group in run.optimizer.param_groups)))
        return make_update(run, *words)

    given = hardware.threads_of_run

    def of_three(*words: Any) -> AdaptiveThreads:
        found = given(*words)
        found.most = found.count = 3
        return found

    monkeypatch.setattr(training_plan, "update", watched)
    monkeypatch.setattr("atonce.training.setup.threads_of_run", of_three)
    overrides = [*SETTINGS, "optim.warmup_steps=9", "train.steps=90", "optim.lr=1e-3", "optim.bias_lr_multiplier=1"]
    package.plan(street_data, recipe="streets", overrides=overrides, out=tmp_path / "run", progress=False)
    assert [threads for threads, _ in seen] == [3, 3]
    assert [rate for _, rate in seen] == pytest.approx([1e-4, 2e-4])


def test_a_loss_that_is_not_finite_tells_of_no_state_where_there_is_none(
    street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atonce.training.loop.clip_gradient", lambda run: math.nan)
    options: dict[str, Any] = {"recipe": "streets", "overrides": SETTINGS, "out": tmp_path / "run", "progress": False}
    with pytest.raises(TrainingError, match=r"begin again with a lower rate: overrides='optim.lr=") as refused:
        package.plan(street_data, **options)
    assert "kept" not in str(refused.value)
    with pytest.raises(TrainingError, match=r"begin again with a lower rate: resume=True overrides='optim.lr="):
        package.train(street_data, **options)


def test_what_a_training_refuses_is_refused(street_data: Path, tiny_run: Path) -> None:
    with pytest.raises(TrainingError, match="already holds a run"):
        package.plan(street_data, recipe="streets", overrides=SETTINGS, out=tiny_run, progress=False)


def test_weights_are_not_downloaded(street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    wide = [*(knob for knob in SETTINGS if "width" not in knob), "model.head_width=8", "data.crop=[32,32]"]
    found = package.plan(
        street_data,
        recipe="folder",
        overrides=[*wide, "train.batch_size=1"],
        weights="vgg16-imagenet1k-features",
        out=tmp_path / "run",
        progress=False,
    )
    assert any("would be downloaded" in note for note in found.notes)
    assert not (tmp_path / "home").exists()
