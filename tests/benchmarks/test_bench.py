"""The benchmark runs from end to end, on tiny sizes."""

from __future__ import annotations

import json
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import torch

from atonce.threads import affinity
from benchmarks import time_to_accuracy
from benchmarks.__main__ import main
from benchmarks.busy import LOADS, Load, case_of, spinning
from benchmarks.peers import torchfcn_network
from benchmarks.results import Report, Section
from benchmarks.schedule import Schedule
from benchmarks.targets import INFERENCE, TRAINING, judge
from benchmarks.time_to_accuracy import Point
from benchmarks.timing import Clock, Repetitions, Series
from tests.processes import PATIENCE

pytestmark = pytest.mark.skipif(not (find_spec("torchfcn") and find_spec("onnxruntime")), reason="needs `.[dev]`")

ABOUT = {
    "command": "python -m benchmarks",
    "commit": "abc",
    "seed": 0,
    "date": "2026",
    "seconds": 1,
    "machine": {},
    "versions": {},
}


def test_quick_run_measures_everyone_and_writes_both_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--quick", "--head-width", "16", "--seed", "3", "--out", str(tmp_path)]
    main([*words, "--sections", "inference,training", "--contestants", "torchfcn,contiguous,ONNX,fp32"])
    found = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert found["about"]["seed"] == 3
    assert found["peaks_operations_per_second"]["fp32"] > 0
    sections = found["sections"]
    assert list(sections) == ["peak", "inference", "training"]
    assert [line for section in sections.values() for line in section["left_out"]] == []
    names = {row["contestant"] for row in sections["inference"]["rows"]}
    assert names == {"torchfcn FCN8sAtOnce", "ours, eager, contiguous", "ours, ONNX Runtime"}
    assert len(sections["inference"]["rows"]) == 2 * len(names)
    assert [row["contestant"] for row in sections["training"]["rows"]] == ["torchfcn FCN8sAtOnce", "ours, fp32"]
    for section in ("inference", "training"):
        for row in sections[section]["rows"]:
            assert row["peak_memory_bytes"] > 50 << 20
            assert row["share_of_peak"] > 0
    text = (tmp_path / "bench.md").read_text("utf-8")
    assert text in capsys.readouterr().out
    assert "| vs. torchfcn FCN8sAtOnce |" in text
    # Nothing but the two tables is left.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md"]


def test_quick_run_of_data_and_whole_commands(tmp_path: Path) -> None:
    main(["--quick", "--out", str(tmp_path), "--sections", "start,data,folders,large"])
    sections = json.loads((tmp_path / "bench.json").read_text("utf-8"))["sections"]
    assert [line for section in sections.values() for line in section["left_out"]] == []
    start = {row["contestant"]: row["median_seconds"] for row in sections["start"]["rows"]}
    assert start["atonce --help"] < start["atonce predict, slim model, one picture"]
    assert len(sections["data"]["rows"]) == 5
    assert all(row["pictures_per_second"] > 0 for row in sections["data"]["rows"])
    folders = [(row["case"], row["contestant"]) for row in sections["folders"]["rows"]]
    ways = ("one after the other", "read ahead, together, finished behind")
    assert folders == [(case, way) for case in ("atonce predict", "atonce evaluate") for way in ways]
    [large] = sections["large"]["rows"]
    assert large["peak_memory_bytes"] > 100 << 20


def test_ideas_are_measured_when_asked_for(tmp_path: Path) -> None:
    words = ["--quick", "--head-width", "16", "--out", str(tmp_path), "--sections", "ideas"]
    main([*words, "--contestants", "channels-last,frozen,eighth,checkpointing,reshape,fp32"])
    ideas = json.loads((tmp_path / "bench.json").read_text("utf-8"))["sections"]["ideas"]
    assert ideas["left_out"] == []
    assert [row["contestant"] for row in ideas["rows"]] == [
        "ours, eager, channels-last",
        "frozen",
        "labels at an eighth (not exact)",
        "ours, fp32",
        "activation checkpointing",
        "reshape before softmax",
    ]


def test_busy_programs_and_threads_are_measured_when_asked_for(tmp_path: Path) -> None:
    main(["--quick", "--out", str(tmp_path), "--sections", "busy", "--contestants", "as it comes,1 thread"])
    found = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    busy = found["sections"]["busy"]
    assert busy["left_out"] == []
    cases = [f"{kind}, {load.name}" for load in LOADS for kind in ("training", "prediction")]
    assert [(row["case"], row["contestant"]) for row in busy["rows"]] == [
        (case, setting) for case in cases for setting in ("atonce, as it comes", "1 thread")
    ]
    assert all(row["pictures_per_second"] > 0 for row in busy["rows"])
    judged = [line for line in found["targets"] if "fixed number of threads" in line["target"]]
    assert len(judged) == len(cases)
    assert all(line["met"] is not None for line in judged)


def test_a_load_is_busy_on_the_core_that_it_is_pinned_to() -> None:
    if not hasattr(psutil.Process, "cpu_affinity"):
        pytest.skip("the system cannot pin processes")
    with spinning(Load("", 2, pinned=True)) as processes:
        assert [process.cpu_affinity() for process in processes] == [[min(affinity())]] * 2
        # Each is given its share of the core, however small it is beside others: more than starting Python takes.
        end = time.monotonic() + PATIENCE
        while any(process.cpu_times().user < 0.5 for process in processes):
            assert time.monotonic() < end, "it is not busy"
            time.sleep(0.05)
    assert not any(process.is_running() for process in processes)


def test_time_to_accuracy_trains_ours_and_torchfcn_s_way(
    street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Processes would only import everything once more.
    monkeypatch.setattr(time_to_accuracy, "in_process", lambda work, environment: work())
    words = ["--quick", "--out", str(tmp_path), "--sections", "time-to-accuracy", "--budgets", "0.005"]
    main([*words, "--data", str(street_data)])
    found = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    section = found["sections"]["time-to-accuracy"]
    assert section["left_out"] == []
    assert "ours, camvid-small, 0.005 minutes: at best 0." in section["note"]
    assert "torchfcn FCN8sAtOnce: at best 0." in section["note"]
    judged = [(line["measured"], line["met"]) for line in found["targets"] if "CamVid validation" in line["target"]]
    assert judged == [("not reached", False)] * 2


def test_torchfcn_begins_with_the_same_convolutions_as_ours(real_data: Path) -> None:
    """Its first one takes BGR, the file's RGB."""
    file = real_data / "weights" / "vgg16_features.pth"
    network = torchfcn_network(2, 16)
    time_to_accuracy.copy_trunk(file, network)
    found, stored = dict(network.named_parameters()), torch.load(file, weights_only=True)
    assert torch.equal(found["conv1_1.weight"], stored["features.0.weight"].flip(1))
    for ours, theirs in (("features.2", "conv1_2"), ("features.14", "conv3_3"), ("features.28", "conv5_3")):
        assert torch.equal(found[f"{theirs}.weight"], stored[f"{ours}.weight"])
        assert torch.equal(found[f"{theirs}.bias"], stored[f"{ours}.bias"])


def test_time_to_accuracy_needs_pictures(tmp_path: Path) -> None:
    schedule = Schedule(Clock(1, {"a": 1}), "a", 1, Repetitions())
    section = time_to_accuracy.run(None, time_to_accuracy.Plan(), tmp_path, 0, (), schedule)
    assert "--data path/to/CamVid" in section.left_out[0]


def test_a_level_is_reached_by_the_first_validation_that_is_as_good() -> None:
    points = [Point(60, 10, 0.3), Point(120, 20, 0.61), Point(180, 30, 0.58), Point(240, 40, 0.62)]
    assert time_to_accuracy.seconds_to(points) == {0.55: 120, 0.60: 120}


def test_beside_busy_programs_ours_is_held_against_the_best_fixed_number() -> None:
    section, one_busy = Section("busy", "", ""), LOADS[1]
    rates = {"atonce, as it comes": 20.0, "2 threads, passive": 16.0, "1 thread": 21.0}
    section.add(case_of("training", one_busy), {n: Series([1 / r]) for n, r in rates.items()}, pictures=1)
    accuracy = Section("time-to-accuracy", "", "")
    accuracy.add("mean IoU of 0.60", {"ours, camvid-small, 8 minutes": Series([500.0])})
    verdicts = {target.text: (target.measured, target.met) for target in judge(Report(ABOUT, [section, accuracy]))}
    assert verdicts["training, one busy, pinned to a core: at least 90% of the best fixed number of threads"] == (
        "95% (1 thread, 21/s)",
        True,
    )
    assert verdicts["training, idle: at least 98% of the best fixed number of threads"][1] is None
    assert verdicts["CamVid validation, mean IoU of 0.60: in 8 minutes"] == ("8.3 minutes", False)
    assert verdicts["CamVid validation, mean IoU of 0.65: in 22 minutes"] == ("not reached", False)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--device", "cuda:99"], "benchmarks: there is no device 'cuda:99' here"),
        (["--sections", "infrence"], "there is no section infrence"),
        (["--minutes", "0"], "expected more than 0"),
    ],
)
def test_mistakes_are_told_in_a_line(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


def test_targets_are_judged_by_the_right_rows() -> None:
    inference, training = Section("inference", "", ""), Section("training", "", "")
    times = {"torchfcn FCN8sAtOnce": 9.0, "ours, eager, channels-last": 3.0, "ours, ONNX Runtime": 2.0}
    times["ours, OpenVINO INT8"] = 0.9
    inference.add(INFERENCE, {n: Series([t], 1) for n, t in times.items()}, operations=1600, arithmetic="fp32")
    steps = {"torchfcn FCN8sAtOnce": Series([4.0], 1000), "ours, fp32": Series([2.0], 400)}
    training.add(TRAINING, steps, pictures=2)
    report = Report(ABOUT, [inference, training], {"fp32": 1000.0})
    verdicts = [(target.measured, target.met) for target in judge(report)]
    assert verdicts[:3] == [
        ("4.50 times (ours, ONNX Runtime)", True),
        ("10.00 times (ours, OpenVINO INT8)", True),
        ("80% (ours, ONNX Runtime)", True),
    ]
    assert verdicts[4] == ("2.00 times (ours, fp32)", False)
    assert verdicts[5] == ("40% (0 of 0 MiB)", True)
    # What was not measured is neither met nor missed.
    assert {met for _, met in verdicts[6:]} == {None}
