"""Whole studies on tiny streets: killed and gone on with, on one device and side by side; their tables and page."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atonce.errors import DataError, TrainingError, UserError
from atonce.studies import Observer, Planned, load_study, plan, run_study, take_over, write_study
from atonce.studies.parallel_runs import environment, parse_devices, read_request, request_of
from atonce.studies.records import Description, Record, read_record
from tests.tiny import ENVIRONMENT, log_of, set_options, tiny_recipe

TIMES = {"minutes", "seconds", "pictures_per_second", "waited"}
LONGER = ("train.steps=12", "train.validate_every=4", "train.save_every=2")


def command(data: Path, study: str, out: Path, *more: str, overrides: tuple[str, ...] = LONGER) -> list[str]:
    words = [sys.executable, "-m", "atonce", "ablate", str(data), "--study", study, "--out", str(out)]
    return [*words, *set_options(*overrides), *more]


def without_times(path: Path) -> object:
    text = json.dumps(json.loads(path.read_text("utf-8")))
    return {k: v for k, v in json.loads(text).items() if k not in TIMES}


class Telling(Observer):
    def __init__(self) -> None:
        self.begun: list[str] = []

    def begins(self, run: Planned, number: int, total: int, device: str | None) -> None:
        self.begun.append(run.title)


def described(planned: list[Planned], name: str, data: Path, out: Path) -> None:
    study = load_study(name)
    seeds = sorted({run.seed for run in planned})
    session = {"command": "atonce ablate & co", "commit": "abc"}
    Description(study.name, study.question, str(data), "streets", {}, study.variants, seeds, [session]).save(out)


def test_killed_in_the_middle_it_goes_on_and_repeats_nothing(street_data: Path, tmp_path: Path) -> None:
    words = command(street_data, "freeze", tmp_path / "killed", "--seeds", "2")
    process = subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    # The second run is under way and has saved a state.
    state = tmp_path / "killed" / "frozen" / "seed-0" / "state" / "state.safetensors"
    deadline = time.monotonic() + 90
    while not state.is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
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
    assert "| frozen | 2 |" in again.stdout
    # What comes of it is what an undisturbed study comes to.
    planned = plan(load_study("freeze"), tiny_recipe(*LONGER), 2, tmp_path / "alone")
    run_study(planned, street_data, {"commit": ""}, Observer())
    for run in planned:
        other = tmp_path / "killed" / run.variant / f"seed-{run.seed}"
        one, two = read_record(run.folder), read_record(other)
        assert one and two
        assert (one.mean_iou, one.pixel_accuracy, one.best_step) == (two.mean_iou, two.pixel_accuracy, two.best_step)
        assert [r["loss"] for r in log_of(run.folder)] == [r["loss"] for r in log_of(other)]
        assert not list((run.folder / "state").iterdir()), "nothing is left to resume"


def test_side_by_side_is_the_same_and_a_failed_run_is_a_result(street_data: Path, tmp_path: Path) -> None:
    """Also: one that ends for want of a finite loss does not end the study, and is not tried again."""
    text = "{name: mine, variants: {base: , wild: {optim.name: sgd, optim.lr: 1.0e+30, optim.clip_norm: null}}}"
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    words = command(street_data, str(tmp_path / "mine.yaml"), tmp_path / "out", "--seeds", "1", "--devices", "cpu,cpu")
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wild = read_record(tmp_path / "out" / "wild" / "seed-0")
    assert wild and wild.failed
    assert re.fullmatch(r"the (loss|gradient) is (nan|inf) at step \d+", wild.failed)
    assert f"| wild | 0 of 1; seed 0 failed: {wild.failed} | – |" in done.stdout
    assert f"failed: {wild.failed}" in (tmp_path / "out" / "report.html").read_text("utf-8")
    planned = plan(load_study(str(tmp_path / "mine.yaml")), tiny_recipe(*LONGER), 1, tmp_path / "out")
    observer = Telling()
    run_study(planned, street_data, {}, observer)
    assert observer.begun == []
    alone = plan(load_study(str(tmp_path / "mine.yaml")), tiny_recipe(*LONGER), 1, tmp_path / "alone")[:1]
    run_study(alone, street_data, {}, Observer())
    beside = log_of(tmp_path / "out" / "base" / "seed-0")
    assert [r["loss"] for r in beside] == pytest.approx([r["loss"] for r in log_of(alone[0].folder)], rel=1e-5)


def test_workers_save_and_end_when_the_study_is_killed(street_data: Path, tmp_path: Path) -> None:
    """Nothing but the end of the study makes this run save its state: left alone, it would go on for hours."""
    endless = tuple(f"train.{knob}=1000000" for knob in ("steps", "validate_every", "save_every"))
    words = command(street_data, "freeze", tmp_path / "out", "--seeds", "1", "--devices", "cpu", overrides=endless)
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


def test_runs_of_another_study_are_taken_over_where_the_recipe_is_the_same(street_data: Path, tmp_path: Path) -> None:
    words = command(street_data, "freeze", tmp_path / "one", "--seeds", "1")
    assert subprocess.run(words, env=ENVIRONMENT, capture_output=True).returncode == 0
    text = "{name: mine, variants: {as-is: {model.freeze_trunk: false}, other: {model.stride: 32}}}"
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    more = ("--seeds", "1", "--reuse", str(tmp_path / "one"))
    words = command(street_data, str(tmp_path / "mine.yaml"), tmp_path / "two", *more)
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "seed 0" in line]
    assert said[0] == f"as-is, seed 0: taken over from {tmp_path / 'one'}"
    assert said[1].startswith("run 2 of 2: other")
    one, two = read_record(tmp_path / "one" / "trained" / "seed-0"), read_record(tmp_path / "two" / "as-is" / "seed-0")
    assert one and two and two.variant == "as-is"
    assert (one.mean_iou, one.minutes, one.commit) == (two.mean_iou, two.minutes, two.commit)
    assert "| as-is | 1 |" in done.stdout
    with pytest.raises(DataError, match="holds no study"):
        take_over([], street_data)


def test_declared_but_not_added_is_the_run_without_l2(street_data: Path, tmp_path: Path) -> None:
    planned = plan(load_study("l2"), tiny_recipe(), 1, tmp_path)
    wanted = [run for run in planned if run.variant in ("none", "declared-only", "1e-3")]
    run_study(wanted, street_data, {}, Observer())
    none, with_it, declared = (log_of(run.folder) for run in wanted)
    assert [r["loss"] for r in declared] == [r["loss"] for r in none]
    assert [r["grad_norm"] for r in declared] == [r["grad_norm"] for r in none]
    assert all(r["l2"] > 0 for r in declared) and all(r["l2"] == 0 for r in none)
    assert [r["loss"] for r in with_it] != [r["loss"] for r in none]
    described(wanted, "l2", street_data, tmp_path)
    assert "<b>declared-only</b>" in write_page(tmp_path)


def write_page(out: Path) -> str:
    write_study(out)
    return (out / "report.html").read_text("utf-8")


def test_tables_and_page_say_what_the_runs_say(street_data: Path, tmp_path: Path) -> None:
    planned = plan(load_study("stride"), tiny_recipe(), 2, tmp_path)
    described(planned, "stride", street_data, tmp_path)
    with pytest.raises(DataError, match="holds no study"):
        write_study(tmp_path / "elsewhere")
    assert "| 8s | 0 of 2 | – |" in write_study(tmp_path), "before the first run, too"
    run_study(planned[:4], street_data, {"commit": "abc"}, Observer())
    page = write_page(tmp_path)
    records = [read_record(run.folder) for run in planned[:4]]
    pairs = {(r.variant, r.seed): r.mean_iou for r in records if r}
    table = json.loads((tmp_path / "table.json").read_text("utf-8"))
    rows = {row["variant"]: row for row in table["variants"]}
    difference = pairs["16s", 0] - pairs["32s", 0]
    assert rows["16s"]["differences"]["mean_iou"] == {
        "n": 1,
        "mean": pytest.approx(difference),
        "low": None,
        "high": None,
    }
    assert rows["32s"]["spreads"]["mean_iou"]["n"] == 2
    assert len(table["runs"]) == 4
    with (tmp_path / "table.csv").open(encoding="utf-8") as file:
        lines = {line["variant"]: line for line in csv.DictReader(file)}
    assert float(lines["32s"]["mean_iou_mean"]) == pytest.approx((pairs["32s", 0] + pairs["32s", 1]) / 2)
    assert lines["8s"]["mean_iou_std"] == ""
    markdown = (tmp_path / "table.md").read_text("utf-8")
    for text in ("commit abc", "Seeds 0, 1", "`atonce ablate & co`", "1 of 2"):
        assert text in markdown
    assert page.count("<svg") == 4 and "atonce ablate &amp; co" in page and "<script" not in page
    assert 'href="32s/seed-1/report.html"' in page


def test_another_recipe_or_other_data_are_refused(street_data: Path, tmp_path: Path) -> None:
    run_study(plan(load_study("freeze"), tiny_recipe(), 1, tmp_path)[:1], street_data, {}, Observer())
    with pytest.raises(TrainingError, match=r"holds a run with optim.lr = [\d.]+; expected 0.5; choose another --out"):
        plan(load_study("freeze"), tiny_recipe("optim.lr=0.5"), 1, tmp_path)
    planned = plan(load_study("freeze"), tiny_recipe(), 2, tmp_path)
    record = read_record(planned[0].folder)
    assert record
    Record(**{**record.__dict__, "fingerprint": "other"}).save(planned[0].folder)
    with pytest.raises(DataError, match="the data set has changed"):
        run_study(planned, street_data, {}, Observer())
    (planned[0].folder / "result.json").write_text("{", "utf-8")
    with pytest.raises(DataError, match=r"result.json is damaged"):
        read_record(planned[0].folder)


def test_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert parse_devices("cpu, cpu") == ["cpu", "cpu"]
    for text in ("cuda:99", "", "tpu"):
        with pytest.raises(TrainingError, match="expected some of cpu"):
            parse_devices(text)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert environment("cuda:1")["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert environment("cuda:1")["CUDA_VISIBLE_DEVICES"] == "7"
    assert environment("cpu")["ACCELERATE_USE_CPU"] == "true"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
    run = plan(load_study("freeze"), tiny_recipe(), 1, tmp_path)[0]
    assert read_request(request_of(run, tmp_path, {"commit": "abc"})) == (run, tmp_path, {"commit": "abc"})
    with pytest.raises(UserError, match="cannot be read"):
        read_request("{}")


def test_a_mistake_of_the_command_line_is_one_line(street_data: Path, tmp_path: Path) -> None:
    words = command(street_data, "freeze", tmp_path / "out", "--set", "model.strid=8")
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown key 'model.strid'" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
