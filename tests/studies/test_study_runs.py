"""The runs of a study: killed and gone on with; what other recipes and other data are told."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from atonce.errors import DataError, TrainingError
from atonce.studies import RunResult, load_study, plan_runs, run_sequentially, write_study_files
from atonce.studies.study_folder import read_result
from tests.studies.tiny_studies import LONGER, ablate_command, save_description
from tests.tiny import ENVIRONMENT, log_of, tiny_recipe


def test_killed_in_the_middle_it_goes_on_and_repeats_nothing(street_data: Path, tmp_path: Path) -> None:
    words = ablate_command(street_data, "freeze", tmp_path / "killed", "--seeds", "2")
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    # The second run is under way and has saved a state.
    state = tmp_path / "killed" / "frozen" / "seed-0" / "state" / "state.safetensors"
    deadline = time.monotonic() + 90
    while not state.is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert state.is_file(), "the second run never began"
    process.kill()
    process.wait()
    first = tmp_path / "killed" / "trained" / "seed-0" / "result.json"
    assert first.is_file() and not (state.parent.parent / "result.json").is_file()
    before = first.stat().st_mtime_ns
    again = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert first.stat().st_mtime_ns == before, "a run that is over is not repeated"
    assert [line for line in again.stderr.splitlines() if line.startswith("run ")] == [
        "run 2 of 4: frozen, seed 0",
        "run 3 of 4: trained, seed 1",
        "run 4 of 4: frozen, seed 1",
    ]
    assert re.search(r"^ frozen +2 +0\.\d{4} ", again.stdout, re.MULTILINE)
    # A table of 80 columns; notes that all runs have stand there once.
    rows = again.stdout.partition("\n- ")[0].splitlines()
    assert max(map(len, rows)) <= 80 and "difference to trained" in rows[1]
    assert again.stderr.count("classes from classes.yaml") == 1 and again.stderr.count("on cpu") == 1
    assert "| frozen | 2 |" in (tmp_path / "killed" / "table.md").read_text("utf-8")
    # What comes of it is what an undisturbed study comes to.
    planned = plan_runs(load_study("freeze"), tiny_recipe(*LONGER), 2, tmp_path / "alone")
    run_sequentially(planned, street_data)
    for run in planned:
        other = tmp_path / "killed" / run.variant / f"seed-{run.seed}"
        one, two = read_result(run.folder), read_result(other)
        assert one and two
        assert (one.mean_iou, one.pixel_accuracy, one.best_step) == (two.mean_iou, two.pixel_accuracy, two.best_step)
        assert [r["loss"] for r in log_of(run.folder)] == [r["loss"] for r in log_of(other)]
        assert not list((run.folder / "state").iterdir()), "nothing is left to resume"


def test_declared_but_not_added_is_the_run_without_l2(street_data: Path, tmp_path: Path) -> None:
    planned = plan_runs(load_study("l2"), tiny_recipe(), 1, tmp_path)
    wanted = [run for run in planned if run.variant in ("none", "declared-only", "1e-3")]
    run_sequentially(wanted, street_data)
    none, with_it, declared = (log_of(run.folder) for run in wanted)
    assert [r["loss"] for r in declared] == [r["loss"] for r in none]
    assert [r["grad_norm"] for r in declared] == [r["grad_norm"] for r in none]
    assert all(r["l2"] > 0 for r in declared) and all(r["l2"] == 0 for r in none)
    assert [r["loss"] for r in with_it] != [r["loss"] for r in none]
    save_description(wanted, "l2", street_data, tmp_path)
    write_study_files(tmp_path)
    assert "<b>declared-only</b>" in (tmp_path / "report.html").read_text("utf-8")


def test_another_recipe_or_other_data_are_refused(street_data: Path, tmp_path: Path) -> None:
    run_sequentially(plan_runs(load_study("freeze"), tiny_recipe(), 1, tmp_path)[:1], street_data)
    with pytest.raises(TrainingError, match=r"holds a run with optim.lr = [\d.]+; expected 0.5; choose another `out`"):
        plan_runs(load_study("freeze"), tiny_recipe("optim.lr=0.5"), 1, tmp_path)
    planned = plan_runs(load_study("freeze"), tiny_recipe(), 2, tmp_path)
    record = read_result(planned[0].folder)
    assert record
    RunResult(**{**record.__dict__, "fingerprint": "other"}).save(planned[0].folder)
    with pytest.raises(DataError, match="the data set has changed"):
        run_sequentially(planned, street_data)
    (planned[0].folder / "result.json").write_text("{", "utf-8")
    with pytest.raises(DataError, match=r"result.json is damaged"):
        read_result(planned[0].folder)
