"""What lies in the folder of an evaluation: an earlier evaluation is replaced, the files of others stay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import atonce as package
from atonce.errors import DataError, StorageError
from atonce.evaluation.own_evaluation import require_own_evaluation
from atonce.reports import write_report
from tests.systems import needs_links, needs_pipes

STRANGERS = {
    "report.html": "<title>Annual report</title>",
    "run.json": '{"runner": "anna"}',
    "evaluation.json": "[1, 2]",
    "gallery.json": '{"pictures": []}',
    "classes.csv": "name,teacher\n3b,Ms Bell\n",
    "pictures.csv": "file,photographer\n",
}


@pytest.mark.parametrize("name", STRANGERS)
def test_files_of_others_are_not_overwritten(name: str, tiny_model: Path, street_data: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text(STRANGERS[name])
    with pytest.raises(DataError, match=f"{name} is there already"):
        package.evaluate(tiny_model, street_data, quick=True, out=tmp_path, progress=False)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, STRANGERS[name])]


def test_the_report_of_a_training_is_not_overwritten(tiny_run: Path, street_data: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    before = write_report(run).read_bytes()
    with pytest.raises(DataError, match=r"report\.html is there already"):
        package.evaluate(run, street_data, quick=True, out=run, progress=False)
    assert (run / "report.html").read_bytes() == before and not (run / "evaluation.json").exists()


def test_an_earlier_evaluation_is_replaced(tiny_model: Path, street_data: Path, tmp_path: Path) -> None:
    package.evaluate(tiny_model, street_data, out=tmp_path, progress=False)
    package.evaluate(tiny_model, street_data, split="train", quick=True, out=tmp_path, progress=False)
    assert '"split": "train"' in (tmp_path / "run.json").read_text()


@pytest.mark.parametrize("name", ["evaluation.json", "gallery.json", "run.json"])
def test_files_that_are_nested_too_deep_are_of_others(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("[" * 100_000)
    with pytest.raises(DataError, match=f"{name} is there already"):
        require_own_evaluation(tmp_path)


@needs_pipes
@pytest.mark.parametrize("name", STRANGERS)
def test_pipes_are_of_others_and_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=f"{name} is there already"):
        require_own_evaluation(tmp_path)


@needs_links
def test_the_pictures_are_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "gallery").symlink_to(tmp_path)
    with pytest.raises(StorageError, match=r"gallery is a link; .*remove it"):
        require_own_evaluation(tmp_path / "out")
