"""atonce.train: the same files and numbers as the command, callbacks that watch and stop, runs in one process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import atonce as package
from atonce.errors import TrainingError, as_command_line
from atonce.recipes import Recipe, load_recipe
from atonce.training import Callback, StepRecord, TrainedRun, TrainingRun
from atonce.training.losses import Losses
from atonce.training.recipe_choice import override_texts
from tests.commands import Command
from tests.data import trees
from tests.tiny import SETTINGS, log_of, set_options, streets, tiny_recipe
from tests.training.comparisons import metrics_of, without_times

OVERRIDES = [*SETTINGS, "train.validate_every=2"]


def train(data: Path, out: Path | None = None, **options: Any) -> TrainedRun:
    return package.train(
        str(data), **{"recipe": "streets", "overrides": OVERRIDES, "out": out, "progress": False, **options}
    )


@pytest.fixture(scope="module")
def run(street_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return train(street_data, tmp_path_factory.mktemp("python") / "run", seed=3)


@pytest.fixture
def by_command(street_data: Path, tmp_path: Path, atonce: Command) -> Path:
    out = tmp_path / "command"
    words = set_options("train.validate_every=2")
    assert atonce("train", street_data, "--out", out, "--seed", "3", *words).code == 0
    return out


def test_python_leaves_what_the_command_leaves(run: TrainedRun, by_command: Path) -> None:
    files = {path.relative_to(run.folder) for path in run.folder.rglob("*") if path.is_file()}
    assert files == {path.relative_to(by_command) for path in by_command.rglob("*") if path.is_file()}
    assert {Path("model.safetensors"), Path("evaluation.json"), Path("report.html"), Path("run.json")} <= files
    for name in (
        "model.safetensors",
        "last.safetensors",
        "recipe.yaml",
        "evaluation.json",
        "classes.csv",
        "pictures.csv",
    ):
        assert (run.folder / name).read_bytes() == (by_command / name).read_bytes(), name
    assert without_times(log_of(run.folder)) == without_times(log_of(by_command))
    assert metrics_of(run.folder) == metrics_of(by_command)


def test_the_run_says_what_it_came_to(run: TrainedRun) -> None:
    assert run.steps == 4 and run.best_step in (2, 4) and run.minutes > 0 and run.stop_reason is None
    assert run.model == run.folder / "model.safetensors"
    assert run.scores == json.loads((run.folder / "evaluation.json").read_text())
    assert run.evaluation is not None
    assert run.scores["mean_iou"] == run.evaluation.mean_iou
    told = json.loads((run.folder / "run.json").read_text())
    assert told["best_step"] == run.best_step and told["command"] and "started" in told


def test_a_run_is_a_model_for_every_function(run: TrainedRun, street_data: Path, tmp_path: Path) -> None:
    picture = next((street_data / "val" / "images").iterdir())
    labels = [package.load(model)(picture).labels for model in (run, run.folder, str(run.folder), run.model)]
    assert all((one == labels[0]).all() for one in [*labels, run.load()(str(picture)).labels])
    assert package.evaluate(run, str(street_data), quick=True, progress=False).mean_iou == run.scores["mean_iou"]
    summary = package.predict(run, str(picture), out=str(tmp_path / "out"))
    assert (summary.done, summary.skipped) == (1, 0)
    assert package.predict(run, [picture], out=tmp_path / "out").skipped == 1


def test_evaluation_in_python_leaves_what_the_command_leaves(
    run: TrainedRun, street_data: Path, tmp_path: Path, atonce: Command
) -> None:
    from atonce.evaluation import evaluate

    found = evaluate(run, street_data, out=tmp_path / "python", progress=False)
    assert atonce("evaluate", run.folder, street_data, "--out", tmp_path / "command").code == 0
    names = {path.relative_to(tmp_path / "python") for path in (tmp_path / "python").rglob("*") if path.is_file()}
    assert names == {p.relative_to(tmp_path / "command") for p in (tmp_path / "command").rglob("*") if p.is_file()}
    for name in names - {Path("run.json"), Path("report.html")}:
        assert (tmp_path / "python" / name).read_bytes() == (tmp_path / "command" / name).read_bytes(), name
    assert found.class_iou.keys() == set(found.labels.names)


class Watching(Callback):
    def __init__(self) -> None:
        self.events: list[str] = []
        self.losses: list[float] = []

    def on_train_start(self, run: TrainingRun) -> None:
        self.events.append(f"start at {run.progress.step}")

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        self.events.append(f"step {run.progress.step}")
        self.losses.append(losses.total(run.recipe))

    def on_log(self, run: TrainingRun, record: StepRecord) -> None:
        self.events.append(f"log {record.step}")

    def on_validation_end(self, run: TrainingRun, row: dict[str, Any], *, best: bool) -> None:
        self.events.append(f"validation {row['step']}")

    def on_train_end(self, run: TrainingRun) -> None:
        assert run.folder.state.is_file()
        self.events.append("end")


def test_callbacks_see_each_step_each_validation_and_the_end(
    run: TrainedRun, street_data: Path, tmp_path: Path
) -> None:
    watching = Watching()
    again = train(street_data, tmp_path / "run", seed=3, callbacks=[watching])
    steps = [event for step in range(1, 5) for event in (f"step {step}", f"log {step}")]
    steps.insert(4, "validation 2")
    assert watching.events == ["start at 0", *steps, "validation 4", "end"]
    assert watching.losses == [record["loss"] for record in log_of(again.folder)]
    # Whoever watches does not change what is seen; and a second run of the process is as good as the first.
    assert again.model.read_bytes() == run.model.read_bytes()


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        if run.progress.step == self.step:
            run.stop("seen enough")


def test_a_callback_stops_a_run_which_is_validated_saved_and_can_go_on(
    run: TrainedRun, street_data: Path, tmp_path: Path
) -> None:
    stopped = train(street_data, tmp_path / "run", seed=3, callbacks=[StopAt(3)])
    assert (stopped.steps, stopped.stop_reason) == (3, "seen enough")
    assert [row["step"] for row in metrics_of(stopped.folder)] == ["2", "3"]
    assert stopped.scores["mean_iou"] is not None
    finished = package.train(street_data, out=stopped.folder, resume=True, progress=False)
    assert finished.steps == 4 and finished.stop_reason is None
    assert without_times(log_of(finished.folder))[-1] == without_times(log_of(run.folder))[-1]


def test_a_run_in_several_sessions_remembers_them_all(street_data: Path, tmp_path: Path) -> None:
    """The command of the first session has the weights and the changes to the recipe; a later one has not."""
    from atonce import provenance

    def session(number: int) -> provenance.Session:
        return provenance.Session(f"atonce train {number}", f"commit{number}", f"2026-01-0{number}")

    with pytest.MonkeyPatch.context() as patch:
        for number, stop in ((1, [StopAt(1)]), (2, [StopAt(3)]), (3, [])):
            patch.setattr(provenance, "begin_session", lambda number=number: session(number))
            options: dict[str, Any] = {"callbacks": stop, "out": tmp_path / "run", "resume": number > 1}
            package.train(
                street_data,
                recipe="streets" if number == 1 else None,
                overrides=OVERRIDES if number == 1 else None,
                progress=False,
                **options,
            )
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (told["command"], told["commit"], told["started"]) == ("atonce train 1", "commit1", "2026-01-01")
    assert [s["command"] for s in told["sessions"]] == ["atonce train 1", "atonce train 2", "atonce train 3"]
    assert [s["commit"] for s in told["sessions"]] == ["commit1", "commit2", "commit3"]
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert all(f"atonce train {number}" in page for number in (1, 2, 3))


class Notes(Callback):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("model.skip_scales=unit", "model.head_scale=1"), None),
        (("model.skip_scales=unit",), r"calibrated on 6 pictures: pool5 x \d\.\d+"),
        (("model.head_scale=1",), r"calibrated on 6 pictures: pool4 x \d\.\d+, pool3 x \d\.\d+"),
        (("model.stride=16",), r"calibrated on 6 pictures: pool4 x \d\.\d+, pool5 x \d\.\d+"),
        (("model.stride=32",), r"calibrated on 6 pictures: pool5 x \d\.\d+"),
        (("model.stride=32", "model.head_scale=1"), None),
    ],
)
def test_what_was_measured_is_said_and_nothing_else(
    street_data: Path, tmp_path: Path, settings: tuple[str, ...], told: str | None
) -> None:
    from atonce.training import set_up

    notes = Notes()
    set_up(tiny_recipe(*settings), street_data, tmp_path / "run", callback=notes)
    found = [note for note in notes.notes if "calibrated" in note]
    assert len(found) == (told is not None)
    assert told is None or re.fullmatch(told, found[0]), found


def test_one_picture_is_one_picture(tmp_path: Path) -> None:
    from atonce.training import set_up

    notes = Notes()
    set_up(tiny_recipe(), streets(tmp_path / "data", train=1, val=1), tmp_path / "run", callback=notes)
    assert any(note.startswith("calibrated on 1 picture: pool4 x") for note in notes.notes)


def test_a_run_that_is_stopped_is_said_to_be_on_the_command_line(
    street_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from atonce.cli.show import print_run

    print_run(train(street_data, tmp_path / "run", callbacks=[StopAt(1)]), street_data)
    assert "stopped: seen enough" in capsys.readouterr().out


def test_recipes_as_objects_and_overrides_as_mappings(street_data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("train.seed=3", "train.validate_every=2")
    run = package.train(street_data, recipe=recipe, overrides={"train.steps": 2}, out=tmp_path / "run", progress=False)
    assert run.steps == 2
    assert Recipe.model_validate(package.load(run).model_file.recipe).train.steps == 2
    assert override_texts({"optim.lr": 1e-4, "weights": None, "data.format": "folder"}) == [
        "optim.lr=0.0001",
        "weights=null",
        'data.format="folder"',
    ]


def test_progress_is_shown_where_it_is_wanted(
    street_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(street_data, tmp_path / "run", progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    assert "step 4: loss" in said.err and "mean IoU" in said.err


def test_nothing_is_shown_where_progress_is_not_wanted(
    street_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(street_data, tmp_path / "run", progress=False)
    assert capsys.readouterr() == ("", "")


def test_options_are_named_as_the_caller_knows_them(run: TrainedRun, street_data: Path) -> None:
    with pytest.raises(TrainingError, match=r"already holds a run; .*add resume=True .*choose another `out`") as raised:
        train(street_data, run.folder)
    assert "add --resume to go on with it, or choose another --out" in raised.value.for_command_line()
    with pytest.raises(TrainingError, match=r"resume=True with recipe='streets'; .*leave out `recipe`"):
        train(street_data, run.folder, resume=True)
    assert as_command_line("nothing to translate") == "nothing to translate"


def test_the_same_call_once_more_with_resume_is_no_mistake(run: TrainedRun, street_data: Path) -> None:
    again = train(street_data, run.folder, seed=3, resume=True)
    assert again.steps == run.steps
    assert again.evaluation is not None and run.evaluation is not None
    assert again.evaluation.mean_iou == run.evaluation.mean_iou


def test_runs_and_scores_say_what_they_are_in_one_line(run: TrainedRun) -> None:
    evaluation = run.evaluation
    assert evaluation is not None
    mean_iou = f"mean IoU {evaluation.mean_iou:.4f}"
    assert re.fullmatch(rf"<Evaluation of \d+ pictures: {mean_iou}, pixel accuracy 0\.\d+>", repr(evaluation))
    assert re.fullmatch(rf"<ConfusionMatrix of 11 classes, \d+ pixels: {mean_iou}>", repr(evaluation.confusion))
    assert repr(run.load(device="cpu")) == "<NetworkPredictor of 11 classes on cpu, engine torch>"
    assert len(repr(run)) < 400


def test_the_default_folder_is_that_of_the_command(
    street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = train(street_data)
    assert run.folder == Path("runs") / f"{street_data.name}-streets"


def test_crops_are_no_larger_than_the_pictures_become(street_data: Path, tmp_path: Path) -> None:
    """What lies beside a picture is void: it takes time, and teaches nothing."""
    from atonce.training import run_training

    notes, out = Notes(), tmp_path / "run"
    recipe = tiny_recipe("data.crop=[320, 416]", "augment.scale=[0.6, 1.5]", "augment.rotate=0", "train.steps=2")
    run = run_training(recipe, street_data, out, callback=notes)
    assert run.recipe.data.crop == (72, 96)
    assert "crops of 96x72 pixels, as large as the pictures become by zoom: data.crop is 416x320" in notes.notes
    assert load_recipe(out / "recipe.yaml").data.crop == (320, 416), "the recipe is the one that was asked for"

    resumed = run_training(load_recipe(out / "recipe.yaml"), street_data, out, resume=True)
    assert resumed.recipe.data.crop == (72, 96)


def test_a_state_of_before_goes_on_with_the_crops_that_it_had(street_data: Path, tmp_path: Path) -> None:
    from atonce.training import run_training, set_up

    recipe = tiny_recipe("data.crop=[64, 80]", "augment.scale=[1, 1]", "augment.rotate=0", "train.steps=2")
    run = run_training(recipe, street_data, tmp_path / "run")
    assert run.progress.crop == [48, 64]
    run.progress.crop = []
    run.save_state()
    assert set_up(recipe, street_data, tmp_path / "run", resume=True).recipe.data.crop == (64, 80)


def test_what_the_doctor_warns_of_by_the_counts_is_said_by_a_training_too(tmp_path: Path) -> None:
    from atonce.doctor import examine
    from atonce.training import set_up

    # A class that no picture for validation shows: what to do about it names a flag on the command line.
    notes, data = Notes(), streets(tmp_path / "data", train=1, val=1)
    for path in (data / "val" / "masks").iterdir():
        trees.save(path, np.zeros_like(np.asarray(Image.open(path))))
    set_up(tiny_recipe(), data, tmp_path / "run", callback=notes)
    counted = ("few-pictures", "empty-class", "absent-class", "void-share")
    warned = [f for f in examine(data).findings if f.kind in counted and f.severity == "warning"]
    assert "few-pictures" in [finding.kind for finding in warned]
    assert {f"warning: {'; '.join(finding.for_command_line())}" for finding in warned} <= set(
        map(as_command_line, notes.notes)
    )
    ways = f"(atonce doctor {data} --write-split FOLDER)"
    assert any(ways in as_command_line(note) for note in notes.notes)


@pytest.mark.parametrize(("steps", "told"), [(1, True), (2, True), (3, False)])
def test_a_run_of_less_than_an_epoch_says_so(street_data: Path, tmp_path: Path, steps: int, *, told: bool) -> None:
    notes = Notes()
    package.train(
        street_data, recipe=tiny_recipe(f"train.steps={steps}"), out=tmp_path / "run", progress=False, callbacks=[notes]
    )
    said = [note for note in notes.notes if "less than an epoch" in note]
    assert len(said) == told
    if told:
        assert f"of 2 pictures: {2 * steps} of the 6 training pictures were seen" in said[0]
