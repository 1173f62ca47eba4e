"""train.track: what TensorBoard's reader, MLflow's client and W&B's files hold is what the run's own files say."""

from __future__ import annotations

import json
import shutil
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from atonce.errors import TrainingError, UserError
from atonce.studies import Study, ablate
from atonce.training import Callback, TrainingRun, hardware, run_training, trackers
from atonce.training.losses import Losses
from atonce.training.recipe_choice import choose_run
from atonce.training.run_folder import RunFolder
from atonce.training.trackers import Tracker, Tracking, tracked
from tests.tiny import SETTINGS, log_of, rows_of, tiny_recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # in the trackers' own packages
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SCALARS = ("loss", "cross_entropy", "l2", "grad_norm")


def recipe_with(*names: str, steps: int = 4) -> Any:
    return tiny_recipe(f"train.track={json.dumps(names)}", f"train.steps={steps}", "train.validate_every=2")


TRACKED = [*SETTINGS, "train.steps=2", "train.track=[tensorboard]"]


class Failure(RuntimeError):
    """What a killed process would have been."""


class FailAt(Callback):
    def __init__(self, step: int, error: type[BaseException] = Failure) -> None:
        self.step, self.error = step, error

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        if run.progress.step == self.step:
            raise self.error


def broken_off_and_resumed(name: str, data: Path, out: Path) -> None:
    """A run that dies in its fourth step, with a state of the second, and goes on to the fifth."""
    with pytest.raises(Failure):
        run_training(recipe_with(name, steps=5), data, out, callback=FailAt(4))
    run_training(recipe_with(name, steps=5), data, out, resume=True)


def tensorboard_of(run: Path) -> Any:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0, "scalars": 0}).Reload()


def test_tensorboard_reads_what_the_log_says(street_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    run = tmp_path / "run"
    run_training(recipe_with("tensorboard"), street_data, run)
    read, log, rows = tensorboard_of(run), log_of(run), rows_of(run)
    for key in SCALARS:
        events = read.Scalars(f"train/{key}")
        assert [event.step for event in events] == [1, 2, 3, 4]
        np.testing.assert_allclose([event.value for event in events], [row[key] for row in log], rtol=1e-6)
    np.testing.assert_allclose(
        [event.value for event in read.Scalars("val/mean_iou")], [float(row["mean_iou"]) for row in rows], rtol=1e-6
    )
    np.testing.assert_allclose(
        [event.value for event in read.Scalars("val/iou/Road")], [float(row["iou Road"]) for row in rows], rtol=1e-6
    )
    rates = [tag for tag in read.Tags()["scalars"] if tag.startswith("lr/")]
    assert {"lr/trunk kernels", "lr/scores biases"} <= {tag.replace("_", " ") for tag in rates}
    assert max(read.Scalars(tag)[-1].value for tag in rates) == pytest.approx(log[-1]["lr"], rel=1e-6)
    (panel,) = read.Tags()["images"]
    assert [image.step for image in read.Images(panel)] == [2, 4]
    assert (read.Images(panel)[0].width, read.Images(panel)[0].height) == (3 * 64, 48)
    (text,) = (tag for tag in read.Tags()["tensors"] if tag.startswith("recipe"))
    shown = read.Tensors(text)[0].tensor_proto.string_val[0].decode()
    told = yaml.safe_load("\n".join(line.removeprefix("    ") for line in shown.splitlines()))
    assert told == yaml.safe_load((run / "recipe.yaml").read_text())


def test_tensorboard_goes_on_where_the_state_is(street_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    broken_off_and_resumed("tensorboard", street_data, tmp_path / "run")
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 2
    read = tensorboard_of(tmp_path / "run")
    # The third step was logged twice, by the session that died, too.
    assert [event.step for event in read.Scalars("train/loss")] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(
        [event.value for event in read.Scalars("train/loss")],
        [row["loss"] for row in log_of(tmp_path / "run")],
        rtol=1e-6,
    )


@pytest.fixture
def file_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's client of a file store in a folder."""
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


def mlflow_run(client: Any) -> Any:
    (experiment,) = (e for e in client.search_experiments() if e.name == "atonce")
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def test_mlflow_has_the_numbers_the_recipe_and_the_pictures(street_data: Path, tmp_path: Path, file_store: Any) -> None:
    run = tmp_path / "run"
    run_training(recipe_with("mlflow"), street_data, run)
    found, log = mlflow_run(file_store), log_of(run)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "run")
    history = file_store.get_metric_history(found.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(row["step"], row["loss"]) for row in log]
    assert found.data.metrics["val/iou/Road"] == float(rows_of(run)[-1]["iou Road"])
    assert found.data.params["optim.name"] == "muon"
    assert found.data.params["data.crop"] == "[48, 64]"
    assert [file.path for file in file_store.list_artifacts(found.info.run_id)] == ["recipe.yaml", "validation"]
    pictures = file_store.list_artifacts(found.info.run_id, "validation")
    assert [Path(file.path).name for file in pictures] == sorted(path.name for path in (run / "pictures").iterdir())


def test_mlflow_goes_on_in_the_same_run(street_data: Path, tmp_path: Path, file_store: Any) -> None:
    broken_off_and_resumed("mlflow", street_data, tmp_path / "run")
    found = mlflow_run(file_store)
    history = file_store.get_metric_history(found.info.run_id, "train/loss")
    assert sorted({point.step for point in history}) == [1, 2, 3, 4, 5]
    # What was logged twice is the same number: the run resumed bit for bit.
    assert len({(point.step, point.value) for point in history}) == 5
    assert found.info.status == "FINISHED"


def test_mlflow_knows_how_a_run_ended(street_data: Path, tmp_path: Path, file_store: Any) -> None:
    for error, status in ((Failure, "FAILED"), (KeyboardInterrupt, "KILLED")):
        with pytest.raises(error):
            run_training(recipe_with("mlflow"), street_data, tmp_path / status, callback=FailAt(2, error))
        ids = json.loads((tmp_path / status / "trackers.json").read_text())
        assert file_store.get_run(ids["mlflow"]).info.status == status


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: LevelDB's log format, in blocks of 32 KiB, behind a header of 7 bytes."""
    block, header, position, parts = 1 << 15, 7, 7, b""
    while position + header <= len(data):
        left = block - position % block
        if left < header:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        parts += data[position + header : position + header + length]
        position += header + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def wandb_records(run: Path) -> tuple[list[Any], list[Any]]:
    """The records of all sessions' files: histories and runs."""
    from wandb.proto import wandb_internal_pb2

    histories, runs = [], []
    for file in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        for data in leveldb_records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "history":
                items = record.history.item
                histories.append({item.key or ".".join(item.nested_key): item.value_json for item in items})
            elif kind == "run":
                runs.append(record.run)
    return histories, runs


def test_wandb_writes_offline_and_goes_on_with_the_same_id(
    street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = tmp_path / "run"
    run_training(recipe_with("wandb", steps=2), street_data, run)
    run_training(recipe_with("wandb", steps=4), street_data, run, resume=True)
    histories, runs = wandb_records(run)
    losses = {int(row["_step"]): json.loads(row["train/loss"]) for row in histories if "train/loss" in row}
    assert losses == {row["step"]: pytest.approx(row["loss"]) for row in log_of(run)}
    ious = {int(row["_step"]): json.loads(row["val/iou/Road"]) for row in histories if "val/iou/Road" in row}
    assert ious == {int(row["step"]): pytest.approx(float(row["iou Road"])) for row in rows_of(run)}
    assert sum(any(key.startswith("validation/") for key in row) for row in histories) == 2
    ids = json.loads((run / "trackers.json").read_text())
    assert {found.run_id for found in runs} == {ids["wandb"]}
    assert {found.project for found in runs} == {"atonce"}
    assert {found.display_name for found in runs} == {"run"}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_one_line_before_anything(
    name: str, street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=f"needs the package {name}, which is not installed") as refused:
        choose_run(street_data, overrides=[f"train.track=[{name}]"], out=tmp_path / "run")
    assert f"--set 'train.track=[{name}]'" in refused.value.for_command_line()
    assert not (tmp_path / "run").exists()


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    other: Any = SimpleNamespace(
        recipe=recipe_with("tensorboard", "mlflow", "wandb"),
        is_main=False,
        folder=RunFolder(tmp_path),
        accelerator=SimpleNamespace(is_main_process=False, num_processes=1),
    )
    callback = Callback()
    with tracked(other, callback) as feeding:
        assert feeding is callback


class Recorder:
    """A tracker that fails from its second call on."""

    def __init__(self) -> None:
        self.calls, self.finished = 0, 0

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.calls += 1
        if self.calls > 1:
            raise ConnectionError("the network\nis down")

    def finish(self) -> None:
        self.finished += 1
        raise ConnectionError("the network is still down")


def test_a_training_does_not_depend_on_its_trackers() -> None:
    notes: list[str] = []
    wrapped = Recorder()
    tracking = Tracking([Tracker("tensorboard", wrapped)], notes.append)
    for _ in range(4):
        tracking._for_each(lambda tracker: tracker.log({"x": 1.0}, 1))
    tracking.finish("finished")
    assert (wrapped.calls, wrapped.finished) == (2, 1)
    assert notes == ["TensorBoard is not written to any more: the network is down"]


class Quiet:
    """A tracker that takes everything, and tells how often it was ended."""

    def __init__(self) -> None:
        self.finished = 0

    def log(self, values: Mapping[str, Any], step: int) -> None:
        pass

    log_images = store_init_configuration = lambda *_, **__: None

    def finish(self) -> None:
        self.finished += 1


def refuse(run: TrainingRun, ids: dict[str, str], title: str) -> tuple[Any, str]:
    raise OSError("api_key not configured")


REFUSED = r"does not start \(api_key not configured\); log in by `wandb login`"


def test_one_that_does_not_start_is_one_line_and_leaves_nothing(
    street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = Quiet()
    monkeypatch.setitem(trackers._OPENERS, "wandb", refuse)
    monkeypatch.setitem(trackers._OPENERS, "tensorboard", lambda *_: (begun, "here"))
    # The second time, too: no half of a run is in the way.
    for _ in range(2):
        with pytest.raises(TrainingError, match=REFUSED):
            run_training(recipe_with("tensorboard", "wandb"), street_data, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    assert begun.finished == 2


def test_one_that_does_not_start_leaves_a_run_that_is_gone_on_with(
    tiny_run: Path, street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    monkeypatch.setitem(trackers._OPENERS, "wandb", refuse)
    with pytest.raises(TrainingError, match=REFUSED):
        run_training(recipe_with("wandb"), street_data, run, resume=True)
    assert {path.name for path in run.iterdir()} == {path.name for path in tiny_run.iterdir()}


def test_a_folder_that_mlflow_refuses_is_told_with_the_variable_that_allows_it(
    street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "https://mlflow.org/docs/latest/self-hosting/migrate-from-file-store"

    def in_maintenance(run: TrainingRun, ids: dict[str, str], title: str) -> tuple[Any, str]:
        raise ValueError(
            "The filesystem tracking backend (e.g., './mlruns') is in maintenance mode and will not receive further "
            "updates. Please switch to a database backend (e.g., 'sqlite:///mlflow.db') to continue using MLflow. "
            f"To use the filesystem backend without switching, set an environment variable. See {address} for more."
        )

    monkeypatch.setitem(trackers._OPENERS, "mlflow", in_maintenance)
    with pytest.raises(TrainingError, match=r"MLFLOW_ALLOW_FILE_STORE=true$") as told:
        run_training(recipe_with("mlflow"), street_data, tmp_path / "run")
    assert "http" not in str(told.value), "half an address leads nowhere"


def test_no_process_trains_while_the_first_one_says_that_it_cannot_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = (TrainingError, ("train.track: MLflow does not start (no server)", "", ""))
    monkeypatch.setattr(hardware, "broadcast_object_list", lambda *_, **__: [told])
    other: Any = SimpleNamespace(
        recipe=recipe_with("mlflow"),
        is_main=False,
        folder=RunFolder(tmp_path),
        accelerator=SimpleNamespace(is_main_process=False, num_processes=2),
        take_back=lambda: None,
    )
    with pytest.raises(TrainingError, match="MLflow does not start"), tracked(other, Callback()):
        pytest.fail("it trains")


def test_a_run_that_died_before_its_first_state_is_hidden_in_tensorboard(street_data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("train.track=[tensorboard]", "train.steps=3", "train.save_every=3")
    with pytest.raises(Failure):
        run_training(recipe, street_data, tmp_path / "run", callback=FailAt(3))
    run_training(recipe, street_data, tmp_path / "run", resume=True)
    events = tensorboard_of(tmp_path / "run").Scalars("train/loss")
    assert [event.step for event in events] == [1, 2, 3]


def test_the_runs_of_a_study_are_tracked_by_variant_and_seed(
    street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []

    def begin(run: TrainingRun, ids: dict[str, str], title: str) -> tuple[Any, str]:
        titles.append(title)
        return Quiet(), "here"

    monkeypatch.setitem(trackers._OPENERS, "tensorboard", begin)
    study = Study("s", "?", {"one": {}, "other": {"optim.lr": 1e-5}})
    ablate(street_data, study, recipe="streets", overrides=TRACKED, weights="none", seeds=1, out=tmp_path / "study")
    assert titles == ["one, seed 0", "other, seed 0"]


def test_numbers_that_are_none_are_left_out_and_names_are_what_mlflow_takes() -> None:
    seen: list[Mapping[str, float]] = []
    wrapped = SimpleNamespace(log=lambda values, step: seen.append(values))
    for name in ("mlflow", "tensorboard"):
        Tracker(name, wrapped).log({"val/iou/a(b)": 0.5, "absent": None, "nan": float("nan")}, 1)
    assert seen == [{"val/iou/a_b_": 0.5}, {"val/iou/a(b)": 0.5}]
