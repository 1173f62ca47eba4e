"""The benchmark runs from end to end, on tiny sizes."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.results import Report, Section
from benchmarks.targets import INFERENCE, TRAINING, judge
from benchmarks.timing import Series

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
    main(["--quick", "--out", str(tmp_path), "--sections", "start,data,large"])
    sections = json.loads((tmp_path / "bench.json").read_text("utf-8"))["sections"]
    assert [line for section in sections.values() for line in section["left_out"]] == []
    start = {row["contestant"]: row["median_seconds"] for row in sections["start"]["rows"]}
    assert start["atonce --help"] < start["atonce predict, slim model, one picture"]
    assert len(sections["data"]["rows"]) == 5
    assert all(row["pictures_per_second"] > 0 for row in sections["data"]["rows"])
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
