"""What was aimed at (two cores, float32 unless said, one run, medians), beside what this run measured."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import busy, folders, reading, starting, time_to_accuracy, training
from benchmarks import inference_section as inference
from benchmarks.operations import Cell
from benchmarks.results import Report, Row, Target

INFERENCE = Cell(160, 576, 1).name
TRAINING = Cell(160, 576, 2).name

NOT_MEASURED = "not measured in this run"


def judge(report: Report) -> list[Target]:
    """Every target, in the order of the sections."""
    return [*_inference(report), *_training(report), *_rest(report), *_busy(report), *_accuracy(report)]


def _inference(report: Report) -> Iterator[Target]:
    peer = _row(report, "inference", INFERENCE, inference.TORCHFCN)
    rows = [_row(report, "inference", INFERENCE, name) for name in inference.FASTEST_OF]
    fastest = min((row for row in rows if row), key=lambda row: row.median, default=None)
    int8 = _row(report, "inference", INFERENCE, inference.INT8)
    yield _times(f"{INFERENCE}: at least 4.5 times as fast as {inference.TORCHFCN}", peer, fastest, 4.5)
    yield _times(f"{INFERENCE}, INT8: at least 9 times as fast as {inference.TORCHFCN}", peer, int8, 9)
    share = fastest.share(report.peaks) if fastest else None
    text = f"{INFERENCE}: at least 80 % of the best sgemm, counting our own operations"
    if fastest is None or share is None:
        yield Target(text, NOT_MEASURED, None)
    else:
        yield Target(text, f"{share:.0%} ({fastest.contestant})", share >= 0.8)
    command = "`atonce export MODEL --to openvino --int8 --calibration CAMVID` prints both"
    yield Target("INT8: at most 0.5 points of mean IoU lost on CamVid", f"not a matter of speed; {command}", None)


def _training(report: Report) -> Iterator[Target]:
    peer = _row(report, "training", TRAINING, training.TORCHFCN)
    ours = _row(report, "training", TRAINING, training.OURS)
    yield _times(f"Training step, {TRAINING}: at least 3 times torchfcn's pictures a second", peer, ours, 3)
    text = f"Training step, {TRAINING}: at most half of torchfcn's peak memory"
    if not (peer and ours and peer.memory and ours.memory):
        yield Target(text, NOT_MEASURED, None)
    else:
        share = ours.memory / peer.memory
        found = f"{share:.0%} ({ours.memory / 2**20:.0f} of {peer.memory / 2**20:.0f} MiB)"
        yield Target(text, found, share <= 0.5)


def _rest(report: Report) -> Iterator[Target]:
    case = "training split"
    for text, name, least in (
        ("Data: at least 100 pictures a second, decoded and augmented", reading.DECODED, 100),
        ("Data: at least 500 pictures a second from the cache", reading.CACHED, 500),
    ):
        row = _row(report, "data", case, name)
        rate = row.pictures_per_second if row else None
        yield Target(text, NOT_MEASURED if rate is None else f"{rate:.0f}", None if rate is None else rate >= least)
    for text, case_name in (
        ("A folder of pictures: at least 1.8 times one after the other", folders.PREDICT),
        ("An evaluation: at least 1.8 times one after the other", folders.EVALUATE),
    ):
        before, after = (_row(report, "folders", case_name, name) for name in (folders.ONE_BY_ONE, folders.OURS))
        yield _times(text, before, after, 1.8)
    for text, name, most in (
        ("`atonce --help` in 0.3 s", starting.HELP, 0.3),
        ("First prediction of a slim model from a cold start in 5 s", starting.COLD, 5.0),
    ):
        row = _row(report, "start", "cold", name)
        yield Target(text, f"{row.median:.2f} s" if row else NOT_MEASURED, row.median <= most if row else None)
    section = report.section("large")
    large = section.rows[0] if section and section.rows else None
    text = "A picture of 100 megapixels: at most 2 GiB resident"
    if large is None or not large.memory or not large.case.endswith("(100 megapixels)"):
        yield Target(text, NOT_MEASURED, None)
    else:
        yield Target(text, f"{large.memory / 2**30:.2f} GiB", large.memory <= 2**31)


def _busy(report: Report) -> Iterator[Target]:
    section = report.section("busy")
    for kind in (busy.TRAINING, busy.PREDICTION):
        for load in busy.LOADS:
            case, least = busy.case_of(kind, load), 0.9 if load.processes else 0.98
            text = f"{case}: at least {least:.0%} of the best fixed number of threads"
            ours = section.find(case, busy.OURS) if section else None
            others = [row for row in section.rows if row.case == case and row is not ours] if section else []
            if ours is None or not others:
                yield Target(text, NOT_MEASURED, None)
                continue
            best = min(others, key=lambda row: row.median)
            share = best.median / ours.median
            yield Target(text, f"{share:.0%} ({best.contestant}, {best.pictures_per_second:.3g}/s)", share >= least)


def _accuracy(report: Report) -> Iterator[Target]:
    section = report.section(time_to_accuracy.KEY)
    for level, most in time_to_accuracy.GOALS.items():
        text = f"CamVid validation, mean IoU of {level:.2f}: in {most:g} minutes"
        rows = [row for row in section.rows if row.contestant.startswith(time_to_accuracy.OURS)] if section else []
        if section is None or section.left_out:
            yield Target(text, NOT_MEASURED, None)
            continue
        reached = [row.median / 60 for row in rows if row.case == time_to_accuracy.case_of(level)]
        first = min(reached, default=None)
        found = "not reached" if first is None else f"{first:.1f} minutes"
        yield Target(text, found, first is not None and first <= most)


def _row(report: Report, section: str, case: str, contestant: str) -> Row | None:
    found = report.section(section)
    return found.find(case, contestant) if found else None


def _times(text: str, peer: Row | None, ours: Row | None, least: float) -> Target:
    if peer is None or ours is None:
        return Target(text, NOT_MEASURED, None)
    times = peer.median / ours.median
    return Target(text, f"{times:.2f} times ({ours.contestant})", times >= least)
