"""A run that is killed and resumed is the run that was left alone: bit for bit, on the CPU."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from atonce.errors import TrainingError, as_command_line
from atonce.recipes import Recipe, load_recipe
from atonce.training import Callback, TrainingRun, run_training
from atonce.training.losses import Losses
from atonce.training.run_folder import RunFolder
from tests.tiny import log_of, tiny_recipe
from tests.training.comparisons import assert_same_tensors, metrics_of, tensors_of, without_times
from tests.training.sessions import CAN_FORK, forkserver, run_session

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="processes cannot be forked here")

STEPS = 30
COMMON = (f"train.steps={STEPS}", "train.validate_every=6", "train.save_every=4", "model.dropout=0.5")
RECIPES = {
    "sgd": (*COMMON, "optim.name=sgd", "optim.lr=1e-2", "optim.ema_decay=0", "loss.l2=1e-3", "train.accumulate=2"),
    "adamw and everything": (
        *COMMON,
        "optim.name=adamw",
        "optim.ema_decay=0.9",
        "augment.rotate=10",
        "augment.hue=0.1",
        "optim.clip_norm=1",
        "optim.warmup_steps=7",
        "optim.trunk_lr_decay=0.8",
        "augment.quarter_turns=0.5",
        "augment.flip_vertical=0.5",
        "augment.balanced_crops=0.5",
        "loss.label_smoothing=0.1",
        "loss.focal=0.3",
        "loss.dice=0.3",
        "loss.lovasz=0.3",
        "distill.teacher={teacher}",
    ),
    "muon": (*COMMON, "optim.name=muon", "optim.ema_decay=0.9", "optim.momentum=0.95"),
}


def assert_same_run(run: Path, alone: Path) -> None:
    for name in ("last.safetensors", "model.safetensors", "state/state.safetensors"):
        assert_same_tensors(run / name, alone / name)
    assert [row["step"] for row in log_of(run)] == list(range(1, STEPS + 1))
    assert without_times(log_of(run)) == without_times(log_of(alone))
    assert metrics_of(run) == metrics_of(alone)
    assert not list(run.rglob(".*.tmp*")), "a killed session's temporary files are still there"


@pytest.fixture(scope="module")
def processes() -> Any:
    return forkserver()


@pytest.fixture(scope="module", params=sorted(RECIPES))
def alone(
    request: pytest.FixtureRequest,
    processes: Any,
    street_data: Path,
    tiny_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Recipe, Path]:
    """A recipe, and the run that nobody disturbed."""
    recipe = tiny_recipe(*(override.format(teacher=tiny_model) for override in RECIPES[request.param]))
    out = tmp_path_factory.mktemp("alone") / "run"
    assert run_session(processes, recipe, street_data, out)
    return recipe, out


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments_it_ends_with_the_same_bits(
    alone: tuple[Recipe, Path], processes: Any, street_data: Path, tmp_path: Path, seed: int
) -> None:
    recipe, undisturbed = alone
    draw = random.Random(seed)
    kills = 0
    for _ in range(7):
        life = draw.randint(1, 10)
        delay = draw.uniform(0, 0.06)
        if run_session(
            processes,
            recipe,
            street_data,
            tmp_path / "run",
            kill_after={life: delay}.get,
        ):
            break
        kills += 1
    assert kills >= 2, "the seeds no longer kill anything: the run is too short"
    assert run_session(processes, recipe, street_data, tmp_path / "run")
    assert_same_run(tmp_path / "run", undisturbed)


def test_killed_in_the_middle_of_saving_it_ends_with_the_same_bits(
    alone: tuple[Recipe, Path], processes: Any, street_data: Path, tmp_path: Path
) -> None:
    recipe, undisturbed = alone
    # recipe.yaml and log.jsonl are written first; state, pictures, models and metrics follow in turn.
    for where, count in (
        ("fsync", 1),
        ("fsync", 3),
        ("half", 3),
        ("replace", 5),
        ("half", 6),
        ("fsync", 7),
        ("half", 9),
    ):
        assert not run_session(processes, recipe, street_data, tmp_path / "run", fault=(where, count))
    assert run_session(processes, recipe, street_data, tmp_path / "run")
    assert_same_run(tmp_path / "run", undisturbed)


class Presses(Callback):
    """Presses Ctrl-C in the middle of what follows a step."""

    def __init__(self, at: int, times: int = 1) -> None:
        self.at, self.times, self.notes = at, times, list[str]()

    def on_note(self, text: str) -> None:
        self.notes.append(text)

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        step = run.progress.step
        for _ in range(self.times if step == self.at else 0):
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def terminal() -> Iterator[None]:
    """Python's own handler for Ctrl-C, which a process that was started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("terminal")
def test_ctrl_c_saves_the_state_between_two_steps(
    alone: tuple[Recipe, Path], street_data: Path, tmp_path: Path
) -> None:
    recipe, undisturbed = alone
    callback = Presses(at=6)
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, street_data, tmp_path / "run", callback=callback)
    assert any("press Ctrl-C again" in note for note in callback.notes)
    # The validation of this step has been made, and its row will not be made again.
    assert [row["step"] for row in metrics_of(tmp_path / "run")] == ["6"]
    run_training(recipe, street_data, tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", undisturbed)


@pytest.mark.usefixtures("terminal")
def test_ctrl_c_twice_stops_at_once_and_leaves_the_state_before(street_data: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_training(tiny_recipe(), street_data, tmp_path / "run", callback=Presses(at=3, times=2))
    assert progress_of(tmp_path / "run")["step"] == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def progress_of(run: Path) -> dict[str, Any]:
    with safe_open(run / "state" / "state.safetensors", "pt") as file:
        progress: dict[str, Any] = json.loads(file.metadata()["progress"])
    return progress


def resume_refused(tiny_run: Path, data: Path, tmp_path: Path, *overrides: str) -> str:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    with pytest.raises(TrainingError) as caught:
        run_training(tiny_recipe(*overrides), data, run, resume=True)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("optim.name=sgd", "optim.name"),
        ("model.freeze_trunk=true", "model.freeze_trunk"),
        ("model.head_width=8", "size mismatch"),
        ("model.stride=16", "pool3"),
    ],
)
def test_a_state_of_another_network_or_optimiser_is_refused_in_one_line(
    tiny_run: Path, street_data: Path, tmp_path: Path, override: str, named: str
) -> None:
    message = resume_refused(tiny_run, street_data, tmp_path, override)
    assert "state.safetensors does not fit this recipe" in message
    assert named in message


@pytest.mark.parametrize("other", ["seed", "data", "of before"])
def test_the_state_of_another_run_is_refused_and_everything_kept(
    tiny_run: Path, street_data: Path, tmp_path: Path, other: str
) -> None:
    run, elsewhere, data = Path(shutil.copytree(tiny_run, tmp_path / "run")), tmp_path / "other", street_data
    if other == "data":
        data = Path(shutil.copytree(street_data, tmp_path / "data"))
        for path in sorted((data / "train").rglob("*_000000.png")):
            path.unlink()
    run_training(tiny_recipe("train.steps=2", *["train.seed=5"] * (other == "seed")), data, elsewhere)
    if other == "of before":
        without_run(elsewhere)
    shutil.copy(elsewhere / "state" / "state.safetensors", run / "state")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(
        TrainingError, match=r"state\.safetensors is the state of another run; .*put its own state back"
    ):
        run_training(tiny_recipe("train.steps=5"), street_data, run, resume=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_of_before_whose_state_does_not_say_whose_it_is_goes_on(
    tiny_run: Path, street_data: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    without_run(run)
    run_training(tiny_recipe("train.steps=5"), street_data, run, resume=True)
    assert [row["step"] for row in log_of(run)] == [1, 2, 3, 4, 5]


def test_a_run_whose_description_of_the_data_was_removed_knows_its_state_again(
    tiny_run: Path, street_data: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    (run / "data.json").unlink()
    for steps in (5, 6):
        run_training(tiny_recipe(f"train.steps={steps}"), street_data, run, resume=True)
    assert log_of(run)[-1]["step"] == 6


def without_run(run: Path) -> None:
    """Take out of a run folder what tells which run its state is of, as those of before have it."""
    described = json.loads((run / "data.json").read_text())
    described.pop("run", None)
    (run / "data.json").write_text(json.dumps(described))
    state = run / "state" / "state.safetensors"
    with safe_open(state, "pt") as file:
        metadata = file.metadata()
    progress = json.loads(metadata["progress"])
    progress.pop("run", None)
    save_file(tensors_of(state), state, {**metadata, "progress": json.dumps(progress)})


def test_averages_that_nobody_asks_for_any_more_do_no_harm(tiny_run: Path, street_data: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    run_training(tiny_recipe("optim.ema_decay=0", "train.steps=5"), street_data, run, resume=True)
    assert [row["step"] for row in log_of(run)] == [1, 2, 3, 4, 5]
    averages = [key for key in tensors_of(run / "state" / "state.safetensors") if "average" in key]
    assert averages == []


def test_averages_that_the_state_does_not_hold_are_asked_for_by_name(street_data: Path, tmp_path: Path) -> None:
    run_training(tiny_recipe("optim.ema_decay=0", "train.steps=2"), street_data, tmp_path / "run")
    with pytest.raises(TrainingError, match=r"no averaged weights \(optim.ema_decay\)"):
        run_training(tiny_recipe(), street_data, tmp_path / "run", resume=True)


@pytest.mark.parametrize("damage", ["half", "text", "model file"])
def test_a_damaged_state_is_named_and_kept(tiny_run: Path, street_data: Path, tmp_path: Path, damage: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    state = run / "state" / "state.safetensors"
    content = {
        "half": state.read_bytes()[: state.stat().st_size // 2],
        "text": b"this is not a state",
        "model file": (run / "model.safetensors").read_bytes(),
    }[damage]
    state.write_bytes(content)
    with pytest.raises(TrainingError, match=r"state\.safetensors is damaged or not a training state"):
        run_training(tiny_recipe(), street_data, run, resume=True)
    assert state.read_bytes() == content


def test_what_a_resumed_run_is_told_anew_stays_with_it(tiny_run: Path, street_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    run_training(tiny_recipe("train.steps=6", "optim.lr=1e-5"), street_data, run, resume=True)
    recipe = load_recipe(run / "recipe.yaml")
    assert (recipe.train.steps, recipe.optim.lr) == (6, 1e-5)
    assert [row["step"] for row in log_of(run)] == [1, 2, 3, 4, 5, 6]
    assert [row["lr"] <= 1e-5 for row in log_of(run)] == [False] * 4 + [True] * 2


def test_the_crop_that_a_resumed_run_is_told_is_the_crop(street_data: Path, tmp_path: Path) -> None:
    """Also where the pictures are smaller than data.crop, and crops as large as they were recorded."""
    small = ("data.crop=[200,200]", "augment.scale=[1,1]")
    run = run_training(tiny_recipe(*small), street_data, tmp_path / "run")
    assert run.recipe.data.crop == (48, 64)
    recipe = load_recipe(tmp_path / "run" / "recipe.yaml", ["train.steps=5"])
    assert run_training(recipe, street_data, tmp_path / "run", resume=True).recipe.data.crop == (48, 64)
    recipe = load_recipe(tmp_path / "run" / "recipe.yaml", ["train.steps=6", "data.crop=[32,32]"])
    assert run_training(recipe, street_data, tmp_path / "run", resume=True).recipe.data.crop == (32, 32)


def test_a_line_of_the_log_is_over_steps_of_one_loss(street_data: Path, tmp_path: Path) -> None:
    """Steps 3 and 4 had the Dice loss, and have no line of their own: the line after them is over 5 and 6."""
    every = ("train.log_every=6", "train.validate_every=4", "train.save_every=4")
    with_dice = tiny_recipe(*every, "loss.dice=0.5", "train.steps=8")
    with pytest.raises(Stop):
        run_training(with_dice, street_data, tmp_path / "run", callback=StopAfter(5))
    without = tiny_recipe(*every, "train.steps=8")
    run_training(without, street_data, tmp_path / "run", resume=True)
    first, *_ = log_of(tmp_path / "run")
    assert first["step"] == 6
    assert "dice" not in first
    with pytest.raises(Stop):
        run_training(with_dice, street_data, tmp_path / "same", callback=StopAfter(5))
    run_training(with_dice, street_data, tmp_path / "same", resume=True)
    assert log_of(tmp_path / "same")[0]["dice"] > 0


class Stop(RuntimeError):
    """What a killed process would have been."""


class StopAfter(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        if run.progress.step == self.step:
            raise Stop


def test_a_finished_run_that_is_resumed_is_left_as_it_is(tiny_run: Path, street_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    run_training(tiny_recipe(), street_data, run, resume=True)
    for name in ("last.safetensors", "model.safetensors", "state/state.safetensors"):
        assert_same_tensors(run / name, tiny_run / name)
    assert log_of(run) == log_of(tiny_run)
    assert (run / "metrics.csv").read_text() == (tiny_run / "metrics.csv").read_text()


class Notes(Callback):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_note(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.steps=4", "nothing is left to train: the run has made its 4 steps; raise train.steps to go on"),
        ("train.max_minutes=1e-6", " with its last step, at step 4 of 9; --max-minutes "),
        ("train.steps=5", None),
    ],
)
def test_a_run_with_nothing_left_says_so(
    tiny_run: Path, street_data: Path, tmp_path: Path, override: str, expected: str | None
) -> None:
    run, notes = Path(shutil.copytree(tiny_run, tmp_path / "run")), Notes()
    run_training(tiny_recipe("train.steps=9", override), street_data, run, resume=True, callback=notes)
    found = [as_command_line(line) for line in notes.lines if "nothing is left" in line]
    assert len(found) == (expected is not None)
    assert expected is None or expected in found[0]
    if override.startswith("train.max_minutes"):
        used = re.search(r"has used its .*, ([\d.]+) s with its last step", found[0])
        (longer,) = re.findall(r"--max-minutes ([\d.]+) ", found[0])
        assert used, found[0]
        assert float(longer) * 60 > float(used[1]), "as many again would be over at once"


def test_a_log_that_ends_in_half_a_line_loses_that_line_only(tiny_run: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    whole = (tiny_run / "log.jsonl").read_text()
    run.log.write_text(whole + '{"step": 5, "lo')
    run.truncate_log(3)
    assert run.log.read_text() == "".join(whole.splitlines(keepends=True)[:3])
