"""Where a run may have its files: in a folder that is new, empty or its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from atonce.errors import StorageError, TrainingError
from atonce.training import choose_run, set_up
from atonce.training.run_folder import RunFolder
from tests.commands import Command
from tests.systems import needs_links
from tests.tiny import set_options, tiny_recipe

Place = Callable[[Path], Path]

REFUSED: dict[str, tuple[Place, str]] = {
    "the data": (lambda data: data, "is the folder of the data"),
    "the data by another path": (lambda data: data / "train" / "..", "is the folder of the data"),
    "masks": (lambda data: data / "val" / "masks", "lies among the pictures in|holds street_"),
    "below pictures": (lambda data: data / "train" / "images" / "deep" / "run", "lies among the pictures in"),
    "files of somebody else": (lambda data: data.parent, "holds notes.txt, which is of no run"),
    "folders of somebody else": (lambda data: data.parent / "thesis", "holds chapters/, which is of no run"),
}


@pytest.fixture
def data(street_data: Path, tmp_path: Path) -> Path:
    """Streets, beside a file and a folder of somebody else."""
    (tmp_path / "thesis" / "chapters").mkdir(parents=True)
    for path in (tmp_path / "notes.txt", tmp_path / "thesis" / "chapters" / "1.tex"):
        path.write_text("mine")
    return Path(shutil.copytree(street_data, tmp_path / "data"))


def _files(root: Path) -> list[Path]:
    return sorted(root.rglob("*"))


@pytest.mark.parametrize("place", REFUSED)
def test_a_run_does_not_write_among_other_files(place: str, data: Path) -> None:
    where, message = REFUSED[place]
    out, before = where(data), _files(data.parent)
    with pytest.raises(TrainingError, match=f"{message}.*choose another `out`"):
        choose_run(data, recipe="streets", out=out)
    with pytest.raises(TrainingError, match=message):
        set_up(tiny_recipe(), data, out)
    assert _files(data.parent) == before


@pytest.mark.parametrize("place", REFUSED)
def test_nor_does_a_study(place: str, data: Path, atonce: Command) -> None:
    where, message = REFUSED[place]
    out, before = where(data), _files(data.parent)
    told = atonce("ablate", data, "--study", "stride", "--out", out, *set_options()).mistake
    assert any(part in told for part in message.split("|")) and "choose another --out" in told
    assert _files(data.parent) == before


@pytest.mark.parametrize("place", ["files of somebody else", "folders of somebody else"])
def test_nor_does_the_demo(place: str, data: Path, atonce: Command) -> None:
    out, before = REFUSED[place][0](data), _files(data.parent)
    assert "which is of no run" in atonce("demo", "--out", out, "--train", "2", "--val", "1").mistake
    assert _files(data.parent) == before


def test_nor_do_generated_streets(data: Path, atonce: Command) -> None:
    out, before = data.parent / "thesis", _files(data.parent)
    assert "chapters is not a generated street" in atonce("streets", out, "--train", "2", "--val", "1").mistake
    assert _files(data.parent) == before


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a log", "the data", "hidden files"])
def test_a_run_begins_where_nobody_has_anything(there: str, street_data: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "run", street_data
    if there == "the data":
        data = Path(shutil.copytree(street_data, out / "deep" / "data"))
    elif there != "nothing":
        (out / "state").mkdir(parents=True)
    if there in ("a log", "hidden files"):
        (out / {"a log": "slurm-7.out", "hidden files": ".DS_Store"}[there]).write_text("x")
    assert choose_run(data, recipe="streets", out=out)[0] == out
    run = set_up(tiny_recipe(), data, out)
    run.lock.release()
    assert run.folder.recipe.is_file()


def test_a_folder_in_that_of_the_data_is_a_place_where_no_pictures_lie(data: Path) -> None:
    assert choose_run(data, recipe="streets", out=data / "runs" / "first")[0] == data / "runs" / "first"


LATE = ("classes.csv", "evaluation.json", "run.json", "report.html", "model.safetensors", "metrics.csv", "data.json")


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", LATE)
def test_a_folder_in_the_place_of_a_file_is_told_before_the_training(
    tiny_run: Path, street_data: Path, tmp_path: Path, name: str, resume: bool
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run")) if resume else tmp_path / "run"
    (run / name).unlink(missing_ok=True)
    (run / name).mkdir(parents=True)
    before = _files(run)
    with pytest.raises(TrainingError, match=rf"{name} is a folder; expected a file of the run"):
        set_up(tiny_recipe(), street_data, run, resume=resume)
    assert _files(run) == before


@needs_links
@pytest.mark.parametrize("name", ["log.jsonl", "state", "pictures", "decoded", "gallery", "tensorboard", "wandb"])
def test_a_run_does_not_write_through_links_to_what_lies_elsewhere(
    name: str, street_data: Path, tmp_path: Path
) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    (elsewhere / "thesis").mkdir(parents=True)
    (elsewhere / "thesis" / "1.tex").write_text("mine")
    run.mkdir()
    RunFolder(run).write_recipe(tiny_recipe())
    (run / name).symlink_to(elsewhere / "log" if name == "log.jsonl" else elsewhere)
    before = _files(elsewhere)
    with pytest.raises(StorageError, match=f"{name} is a link; .*remove it"):
        set_up(tiny_recipe("data.cache=disk"), street_data, run, resume=True)
    assert _files(elsewhere) == before


@needs_links
def test_a_line_of_the_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"log\.jsonl is a link"):
        RunFolder(tmp_path).append_log({"step": 1})
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("content", [b"step\n\xff", b"step,mean_iou\n" + b"x" * 140_000])
def test_a_run_whose_metrics_are_damaged_is_not_resumed(content: bytes, street_data: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_recipe(tiny_recipe())
    folder.metrics.write_bytes(content)
    folder.model.write_bytes(b"a model")
    with pytest.raises(TrainingError, match=r"metrics\.csv is damaged .*; expected a table .*; remove it"):
        set_up(tiny_recipe(), street_data, tmp_path, resume=True)
