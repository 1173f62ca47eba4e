"""A run goes on with the data that it began with, or not at all; what differs is said in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.data import open_dataset
from atonce.errors import TrainingError
from atonce.evaluation.evaluate_model import open_as_trained
from atonce.inference import load
from atonce.training import Callback, run_training
from tests.commands import Command
from tests.tiny import log_of, streets, tiny_recipe

MORE = ("train.steps=6",)


class Notes(Callback):
    def __init__(self) -> None:
        self.notes = list[str]()

    def on_note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def flat_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten streets in one folder, which are split here."""
    made = streets(tmp_path_factory.mktemp("flat") / "data", train=7, val=3)
    for kind in ("images", "masks"):
        (made / kind).mkdir()
        for split in ("train", "val"):
            for path in (made / split / kind).iterdir():
                path.rename(made / kind / path.name)
    for split in ("train", "val"):
        shutil.rmtree(made / split)
    (made / "streets.json").unlink()
    return made


@pytest.fixture(scope="module")
def flat_run(flat_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("flat") / "run"
    run_training(tiny_recipe(), flat_data, run)
    return run


@pytest.fixture
def data(flat_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(flat_data, tmp_path / "data"))


@pytest.fixture
def run(flat_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(flat_run, tmp_path / "run"))


def files_of(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def refused(run: Path, data: Path, *overrides: str) -> str:
    """The one line with which a resumed run is refused, which has touched nothing."""
    before = files_of(run)
    with pytest.raises(TrainingError) as caught:
        run_training(tiny_recipe(*MORE, *overrides), data, run, resume=True)
    message = caught.value.for_command_line()
    assert len(message.splitlines()) == 1
    assert f"--weights {run} --out NEW" in message
    assert files_of(run) == before
    return message


def change_classes(data: Path, change: Callable[[str], str]) -> None:
    path = data / "classes.yaml"
    path.write_text(change(path.read_text()))


def add(data: Path, count: int) -> set[str]:
    """More streets; their names come before, between and after those that are there."""
    names = set()
    for number, path in enumerate(sorted((data / "images").iterdir())[:count]):
        name = f"{'asz'[number % 3]}_{path.stem}"
        for kind in ("images", "masks"):
            shutil.copy(data / kind / path.name, data / kind / f"{name}.png")
        names.add(name)
    return names


def names_of(data: Path, split: str) -> set[str]:
    return {item.name for item in open_dataset(data).split(split)}


def test_a_corrected_class_name_is_named(run: Path, data: Path) -> None:
    change_classes(data, lambda text: text.replace("Pole", "Lamp post"))
    assert f"{data} has other classes than the run began with: Lamp post instead of Pole" in refused(run, data)


def test_classes_in_another_order_are_told(run: Path, data: Path) -> None:
    change_classes(data, lambda text: text.replace("Sky", "x").replace("Building", "Sky").replace("x", "Building", 1))
    assert "the order Building, Sky, Pole, Road and 7 more instead of Sky, Building, Pole, Road" in refused(run, data)


def test_a_class_more_is_named(run: Path, data: Path) -> None:
    change_classes(data, lambda text: text.replace("ignore_index", "- name: tram\n  colour: [1, 2, 3]\nignore_index"))
    assert "than the run began with: new: tram;" in refused(run, data)


def test_masks_whose_values_stand_for_other_classes_are_told(run: Path, data: Path) -> None:
    names = json.loads((run / "data.json").read_text())["classes"]
    # The same names in the same order, the same files: but what was pavement and after it counts as void.
    listed = "".join(f"- {{name: {name}, value: {i if i < 4 else i + 60}}}\n" for i, name in enumerate(names))
    (data / "classes.yaml").write_text(f"classes:\n{listed}ignore_index: {[*range(4, 11), 255]}\n")
    message = refused(run, data)
    assert f"the masks of {data} are read as other classes: pixels of Pavement " in message
    assert " -> 0" in message


def test_pictures_that_have_gone_and_masks_that_have_changed_are_named(run: Path, data: Path) -> None:
    gone, changed = sorted((data / "images").iterdir())[:2]
    gone.unlink()
    (data / "masks" / gone.name).unlink()
    mask = np.array(Image.open(data / "masks" / changed.name))
    mask[:20] = 3
    Image.fromarray(mask).save(data / "masks" / changed.name)
    assert (
        f"{data} is not what it was: 1 picture or mask gone ({gone.stem}); 1 picture or mask changed ({changed.stem})"
    ) in refused(run, data)


def test_another_split_is_refused(run: Path, data: Path) -> None:
    assert "data.split_seed = 5 and data.val_fraction = 0.2 would split" in refused(run, data, "data.split_seed=5")


def test_a_picture_that_was_moved_to_another_split_is_named(tiny_run: Path, street_data: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    data = Path(shutil.copytree(street_data, tmp_path / "data"))
    for kind in ("images", "masks"):
        path = sorted((data / "val" / kind).iterdir())[0]
        path.rename(data / "train" / kind / path.name)
    assert "in another split (street_500000)" in refused(run, data)


def test_what_is_added_is_left_out_and_the_split_is_kept(
    run: Path, data: Path, flat_data: Path, flat_run: Path
) -> None:
    before = {split: names_of(data, split) for split in ("train", "val")}
    added = add(data, 8)
    assert names_of(data, "val") - added != before["val"], "the split is the same by chance: the test tests nothing"
    callback = Notes()
    session = run_training(tiny_recipe(*MORE), data, run, resume=True, callback=callback)
    assert {split: {i.name for i in session.dataset.split(split)} for split in before} == before
    told = [note for note in callback.notes if " added to " in note]
    assert len(told) == 1
    assert f"8 pictures added to {data} since the run began: left out, the split is kept" in told[0]
    # The same bits as without them, and the same description of the data.
    alone = Path(shutil.copytree(flat_run, run.with_name("alone")))
    run_training(tiny_recipe(*MORE), flat_data, alone, resume=True)
    assert [row["loss"] for row in log_of(run)] == [row["loss"] for row in log_of(alone)]
    described = [load(path).model_file.training_data for path in (run, alone)]
    assert [about["fingerprint"] for about in described] == [described[0]["fingerprint"]] * 2
    assert {i.name for i in open_as_trained(load(run).model_file, data).split("val")} == before["val"]


def test_a_new_run_from_the_model_keeps_what_was_validated_apart(run: Path, data: Path, tmp_path: Path) -> None:
    before = {split: names_of(data, split) for split in ("train", "val")}
    added = add(data, 9)
    new = run_training(tiny_recipe(f"weights={run}"), data, tmp_path / "new")
    now = {split: {item.name for item in new.dataset.split(split)} for split in before}
    assert {split: names - added for split, names in now.items()} == before
    assert now["val"] & added, "none of what was added is validated on"
    assert now["train"] | now["val"] == before["train"] | before["val"] | added
    assert any(f"validation pictures are those of {run}" in note for note in new.dataset.notes)
    # It can be gone on with, and is evaluated on its own validation split.
    again = run_training(tiny_recipe(f"weights={run}", *MORE), data, tmp_path / "new", resume=True)
    assert {item.name for item in again.dataset.split("val")} == now["val"]
    assert {item.name for item in open_as_trained(load(tmp_path / "new").model_file, data).split("val")} == now["val"]
    # Of a model file alone, only the validation pictures are known.
    shutil.copy(run / "model.safetensors", tmp_path / "alone.safetensors")
    other = run_training(tiny_recipe(f"weights={tmp_path / 'alone.safetensors'}"), data, tmp_path / "other")
    assert {item.name for item in other.dataset.split("val")} == before["val"]


def test_a_run_of_the_first_edition_is_compared_with_its_model_file(run: Path, data: Path) -> None:
    (run / "data.json").unlink()
    untouched = Path(shutil.copytree(run, run.with_name("untouched")))
    add(data, 1)
    assert "is not what it was: pictures, masks or split have changed: 9 train (then 8), 2 val (then 2)" in refused(
        run, data
    )
    for path in data.glob("*/a_*"):
        path.unlink()
    change_classes(data, lambda text: text.replace("Pole", "Lamp post"))
    assert "Lamp post instead of Pole" in refused(run, data)
    change_classes(data, lambda text: text.replace("Lamp post", "Pole"))
    run_training(tiny_recipe(*MORE), data, untouched, resume=True)
    assert (untouched / "data.json").is_file(), "from now on it is known"


def test_a_damaged_description_is_named(run: Path, data: Path) -> None:
    for text in ("", "[]", "{}", '{"classes": 1}', "[" * 100_000):
        (run / "data.json").write_text(text)
        with pytest.raises(TrainingError, match=r"data\.json is damaged"):
            run_training(tiny_recipe(*MORE), data, run, resume=True)


def test_resuming_without_a_state_says_so_and_never_begins_over_a_model(
    run: Path, data: Path, atonce: Command, tmp_path: Path
) -> None:
    (run / "state" / "state.safetensors").unlink()
    message = refused(run, data)
    assert "holds a model but no state/state.safetensors; expected the state of a run to resume" in message
    for name in ("model.safetensors", "last.safetensors"):
        (run / name).unlink()
    callback = Notes()
    run_training(tiny_recipe(), data, run, resume=True, callback=callback)
    assert f"{run} holds no state yet: it begins at step 0" in callback.notes
    # Killed after the first validation, but before the first state: the model is of this run, and made anew.
    settings = ("train.validate_every=2", "train.save_every=3")
    early = run_training(tiny_recipe(*settings), data, tmp_path / "early").folder
    early.truncate_log(2)
    early.write_metrics([{"step": 2}])
    early.state.unlink()
    run_training(tiny_recipe(*settings), data, early.path, resume=True)


def test_a_log_with_lines_that_are_no_records_is_kept_up_to_them(run: Path, data: Path) -> None:
    whole = (run / "log.jsonl").read_bytes()
    for line in (b"5", b"{}", b'{"step": "x"}', b"\xff\xfe", b"[" * 10_000, b"null"):
        (run / "log.jsonl").write_bytes(whole + line + b"\n" + whole)
        run_training(tiny_recipe(), data, run, resume=True)
        assert (run / "log.jsonl").read_bytes() == whole
