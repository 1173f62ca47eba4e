"""Runs in parallel: the same as one after the other, and workers that end with the study."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from atonce.errors import TrainingError, UserError
from atonce.studies import PlannedRun, StudyCallback, load_study, plan_runs, run_sequentially
from atonce.studies.parallel_runs import device_environment, format_request, parse_devices, parse_request
from atonce.studies.study_folder import read_result
from tests.processes import PATIENCE, children_of, wait_until
from tests.studies.tiny_studies import LONGER, ablate_command
from tests.systems import needs_processes_listed, needs_signals
from tests.tiny import ENVIRONMENT, log_of, tiny_recipe


class RecordStarts(StudyCallback):
    def __init__(self) -> None:
        self.started: list[str] = []

    def on_run_start(self, run: PlannedRun, *, number: int, total: int, device: str | None) -> None:
        self.started.append(run.title)


def test_side_by_side_is_the_same_and_a_failed_run_is_a_result(street_data: Path, tmp_path: Path) -> None:
    """Also: one that ends for want of a finite loss does not end the study, and is not tried again."""
    text = "{name: mine, variants: {base: , wild: {optim.name: sgd, optim.lr: 1.0e+30, optim.clip_norm: null}}}"
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    words = ablate_command(
        street_data, str(tmp_path / "mine.yaml"), tmp_path / "out", "--seeds", "1", "--devices", "cpu,cpu"
    )
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wild = read_result(tmp_path / "out" / "wild" / "seed-0")
    assert wild and wild.failed
    assert re.fullmatch(r"the (loss|gradient) is (nan|inf) at step \d+", wild.failed)
    assert f"- wild: seed 0 failed: {wild.failed}" in done.stdout
    assert re.search(r"^ wild +0 of 1 +– ", done.stdout, re.MULTILINE)
    table = (tmp_path / "out" / "table.md").read_text("utf-8")
    assert f"| wild | 0 of 1; seed 0 failed: {wild.failed} | – |" in table
    assert f"failed: {wild.failed}" in (tmp_path / "out" / "report.html").read_text("utf-8")
    planned = plan_runs(load_study(str(tmp_path / "mine.yaml")), tiny_recipe(*LONGER), 1, tmp_path / "out")
    callback = RecordStarts()
    run_sequentially(planned, street_data, callback=callback)
    assert callback.started == []
    alone = plan_runs(load_study(str(tmp_path / "mine.yaml")), tiny_recipe(*LONGER), 1, tmp_path / "alone")[:1]
    run_sequentially(alone, street_data)
    beside = log_of(tmp_path / "out" / "base" / "seed-0")
    assert [r["loss"] for r in beside] == pytest.approx([r["loss"] for r in log_of(alone[0].folder)], rel=1e-5)


def test_workers_save_and_end_when_the_study_is_killed(street_data: Path, tmp_path: Path) -> None:
    """Nothing but the end of the study makes this run save its state: left alone, it would go on for hours."""
    endless = tuple(f"train.{knob}=1000000" for knob in ("steps", "validate_every", "save_every"))
    words = ablate_command(
        street_data, "freeze", tmp_path / "out", "--seeds", "1", "--devices", "cpu", overrides=endless
    )
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    run = tmp_path / "out" / "trained" / "seed-0"
    deadline = time.monotonic() + 60
    while not (run / "log.jsonl").is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    state = run / "state" / "state.safetensors"
    while not state.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state.is_file()
    steps = len(log_of(run))
    time.sleep(0.5)
    assert len(log_of(run)) == steps


@needs_processes_listed
@needs_signals
def test_a_worker_that_is_killed_is_told_in_one_line(street_data: Path, tmp_path: Path) -> None:
    endless = tuple(f"train.{knob}=1000000" for knob in ("steps", "validate_every", "save_every"))
    words = ablate_command(
        street_data, "freeze", tmp_path / "out", "--seeds", "1", "--devices", "cpu", overrides=endless
    )
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    wait_until(lambda: list(tmp_path.glob("out/*/seed-0/log.jsonl")), process)
    for child in children_of(process.pid):
        os.kill(child, signal.SIGKILL)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, said
    assert "Traceback" not in said
    assert "trained, seed 0: its process was ended by SIGKILL, as systems do when the memory" in " ".join(said.split())


def test_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert parse_devices("cpu, cpu") == ["cpu", "cpu"]
    for text in ("cuda:99", "", "tpu"):
        with pytest.raises(TrainingError, match="expected some of cpu"):
            parse_devices(text)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device_environment("cuda:1")["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert device_environment("cuda:1")["CUDA_VISIBLE_DEVICES"] == "7"
    assert device_environment("cpu")["ACCELERATE_USE_CPU"] == "true"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
    monkeypatch.setenv("ATONCE_THREADS", "9")
    assert device_environment("cuda:1", 2)["ATONCE_THREADS"] == "4"
    run = plan_runs(load_study("freeze"), tiny_recipe(), 1, tmp_path)[0]
    assert parse_request(format_request(run, tmp_path, "abc")) == (run, tmp_path, "abc")
    with pytest.raises(UserError, match="cannot be read"):
        parse_request("{}")
