"""A mistyped folder of data or run is answered with the one beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.commands import Command
from tests.tiny import set_options


def test_a_folder_of_data(street_data: Path, tmp_path: Path, atonce: Command) -> None:
    shutil.copytree(street_data, tmp_path / "shapes")
    told = atonce("train", tmp_path / "shape").mistake
    assert f"shape does not exist; expected a folder with a data set; did you mean {tmp_path / 'shapes'}?" in told


def test_a_run_to_begin_from(street_data: Path, tiny_run: Path, tmp_path: Path, atonce: Command) -> None:
    shutil.copytree(tiny_run, tmp_path / "shapes-folder")
    told = atonce("train", street_data, "--weights", tmp_path / "shape-folder", *set_options()).mistake
    assert "expected a file, a run folder or one of " in told
    assert f"did you mean {tmp_path / 'shapes-folder'}?" in told


def test_a_run_that_goes_on_says_where(street_data: Path, tiny_run: Path, tmp_path: Path, atonce: Command) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    done = atonce("train", street_data, "--out", run, "--resume", "--set", "train.steps=6")
    assert f"goes on at step 4 of {run}: 2 steps left" in done.err.replace("\n", " ")
