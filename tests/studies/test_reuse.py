"""Runs that another study has done already."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from atonce.errors import DataError
from atonce.studies import reuse_runs
from atonce.studies.study_folder import read_result
from tests.studies.tiny_studies import ablate_command
from tests.tiny import ENVIRONMENT


def test_runs_of_another_study_are_reused_where_the_recipe_is_the_same(street_data: Path, tmp_path: Path) -> None:
    words = ablate_command(street_data, "freeze", tmp_path / "one", "--seeds", "1")
    assert subprocess.run(words, env=ENVIRONMENT, capture_output=True).returncode == 0
    text = "{name: mine, variants: {as-is: {model.freeze_trunk: false}, other: {model.stride: 32}}}"
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    more = ("--seeds", "1", "--reuse", str(tmp_path / "one"))
    words = ablate_command(street_data, str(tmp_path / "mine.yaml"), tmp_path / "two", *more)
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "seed 0" in line]
    assert said[0] == f"as-is, seed 0: reused from {tmp_path / 'one'}"
    assert said[1].startswith("run 2 of 2: other")
    one, two = read_result(tmp_path / "one" / "trained" / "seed-0"), read_result(tmp_path / "two" / "as-is" / "seed-0")
    assert one and two and two.variant == "as-is"
    assert (one.mean_iou, one.minutes, one.commit) == (two.mean_iou, two.minutes, two.commit)
    assert re.search(r"^ as-is +1 +0\.\d{4} ", done.stdout, re.MULTILINE)
    with pytest.raises(DataError, match="holds no study"):
        reuse_runs([], street_data)
