"""Inference: which contestants, which cells, as far as time and memory go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from atonce.exporting.graph_files import Target
from benchmarks.inference import Eager, Exported, Ours, Setting, Torchfcn, export, unfilled, unfilled_torchfcn
from benchmarks.operations import Cell, forward_operations
from benchmarks.results import Section
from benchmarks.schedule import Schedule
from benchmarks.workers import Contestant, Failed, crew

TORCHFCN, EAGER = "torchfcn FCN8sAtOnce", "ours, eager, contiguous"
INT8 = "ours, OpenVINO INT8"
FASTEST_OF = ("ours, eager, channels-last", "ours, Predictor", "ours, ONNX Runtime", "ours, OpenVINO")
"""In float32."""

NOTE = (
    "From uint8 pictures to uint8 labels, random weights, FCN-8s with a head of {head_width} and {classes} classes. "
    "A batch goes through together, except in the Predictor, which takes one picture after the other. ONNX Runtime "
    "and OpenVINO run files of `atonce export`."
)


@dataclass(frozen=True)
class Entry:
    """Someone who competes, and the network that its operations are counted of."""

    make: Callable[[], Contestant]
    counted: Callable[[], nn.Module]
    arithmetic: str | None = "fp32"


def entries(setting: Setting, files: Path) -> dict[str, Entry]:
    """All that there are on a device; the engines of exported files run on CPUs."""
    ours = partial(unfilled, setting)
    found = {
        TORCHFCN: Entry(partial(Torchfcn, setting), partial(unfilled_torchfcn, setting)),
        EAGER: Entry(partial(Eager, setting, False), ours),
        FASTEST_OF[0]: Entry(partial(Eager, setting, True), ours),
        FASTEST_OF[1]: Entry(partial(Ours, setting), ours),
    }
    if setting.has_bf16:
        found["ours, Predictor, bf16"] = Entry(partial(Ours, setting, "torch-bf16"), ours, "bf16")
    if setting.device == "cpu":
        for name, target, path in _exports(files):
            arithmetic = None if name == INT8 else "fp32"
            found[name] = Entry(partial(Exported, setting, target, path), ours, arithmetic)
    return found


def _exports(files: Path) -> list[tuple[str, Target, Path]]:
    return [
        (FASTEST_OF[2], Target.ONNX, files / "network.onnx"),
        (FASTEST_OF[3], Target.OPENVINO, files / "network.xml"),
        (INT8, Target.OPENVINO, files / "network-int8.xml"),
    ]


def run(setting: Setting, cells: Sequence[Cell], files: Path, only: Sequence[str], schedule: Schedule) -> Section:
    """Cells in the order of their operations, so that the peak of a process is that of its last cell.

    Args:
        files: a folder for exported files.
        only: words that a contestant's name must hold one of; none takes all.
    """
    note = NOTE.format(head_width=setting.head_width, classes=setting.classes)
    section = Section("inference", "Inference", note, (TORCHFCN, EAGER))
    chosen = {name: entry for name, entry in entries(setting, files).items() if wanted(name, only)}
    failed: dict[str, str] = {}
    for name, target, path in _exports(files):
        if name in chosen:
            try:
                schedule.say(f"exporting for {name}")
                export(setting, target, path, int8=name == INT8)
            except Failed as error:
                failed[name] = str(error)
                del chosen[name]
    schedule.say(f"starting {len(chosen)} contestants")
    with crew({name: entry.make for name, entry in chosen.items()}, failed) as runners:
        section.lose("all sizes", failed)
        for cell in sorted(cells, key=lambda cell: cell.height * cell.width * cell.batch):
            counts = {name: forward_operations(chosen[name].counted, cell) for name in runners}
            schedule.measure(section, runners, cell, counts, _arithmetic(chosen), cell.batch)
    return section


def wanted(name: str, only: Sequence[str]) -> bool:
    """Whether a contestant is to compete, see `run`."""
    return not only or any(word.lower() in name.lower() for word in only)


def _arithmetic(chosen: Mapping[str, Entry]) -> dict[str, str | None]:
    return {name: entry.arithmetic for name, entry in chosen.items()}
