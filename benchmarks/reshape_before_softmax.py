"""What a reshape before the softmax costs: seconds of one core, of the loss alone and of a training step; memory.

python -m benchmarks.reshape_before_softmax [steps]

CPU seconds, taken in turn, so that a machine that others use, too, tells the same ratio. Memory is the peak of a
process of its own, after two steps.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.ideas import ReshapedStep
from benchmarks.inference import Setting
from benchmarks.operations import Cell
from benchmarks.timing import Repetitions, take_turns
from benchmarks.training import OurStep, batch
from benchmarks.workers import crew

CELL, HEAD_WIDTH, CLASSES, LOSS_REPETITIONS = Cell(160, 576, 2), 512, (2, 12, 21), 24


def main(steps: int) -> None:
    torch.set_num_threads(1)
    print("| | classes | layout | without | with | ratio, quartiles |\n|---|---:|---|---:|---:|---|")
    for classes in CLASSES:
        setting = Setting(HEAD_WIDTH, classes, 0, "cpu")
        _, labels = batch(CELL, setting)
        logits = torch.randn(CELL.batch, classes, *CELL.size, generator=torch.Generator().manual_seed(0))
        for layout, name in ((torch.contiguous_format, "contiguous"), (torch.channels_last, "channels-last")):
            leaf = logits.contiguous(memory_format=layout).requires_grad_()
            jobs = [_loss(kind, leaf, labels) for kind in (OurStep, ReshapedStep)]
            _row("loss, forward and backward", classes, name, in_turn(jobs, LOSS_REPETITIONS))
    setting = Setting(HEAD_WIDTH, CLASSES[1], 0, "cpu")
    jobs = [kind(setting, "same").prepare(CELL) for kind in (OurStep, ReshapedStep)]
    _row("training step", CLASSES[1], "as it comes", in_turn(jobs, steps))
    without, with_ = (memory / 2**20 for memory in peaks(setting))
    sizes = f"{without:.0f} MiB | {with_:.0f} MiB | {with_ / without:.2f}"
    print(f"| peak memory of two steps | {CLASSES[1]} | as it comes | {sizes} |")


def _loss(kind: type[OurStep], logits: Tensor, labels: Tensor) -> Callable[[], object]:
    def job() -> None:
        logits.grad = None
        kind.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]

    return job


def in_turn(jobs: Sequence[Callable[[], object]], repetitions: int) -> list[list[float]]:
    """CPU seconds of each job; the order changes from round to round, and a round to warm up is left out."""
    seconds: list[list[float]] = [[] for _ in jobs]
    for round_ in range(repetitions + 1):
        turns = list(zip(jobs, seconds, strict=True))
        for job, taken in turns[:: -1 if round_ % 2 else 1]:
            began = time.process_time()
            job()
            taken.append(time.process_time() - began)
    return [taken[1:] for taken in seconds]


def peaks(setting: Setting) -> list[int]:
    """Return the peak memory in bytes, without and with, of processes that have made two steps."""
    failed: dict[str, str] = {}
    makers = {kind.__name__: partial(kind, setting, "same") for kind in (OurStep, ReshapedStep)}
    with crew(makers, failed) as runners:
        found = take_turns(runners, CELL, Repetitions(2, 2, 0), 0, failed)
    assert not failed, failed
    return [series.memory or 0 for series in found.values()]


def _row(what: str, classes: int, layout: str, seconds: list[list[float]]) -> None:
    ratios = [there / here for here, there in zip(*seconds, strict=True)]
    low, middle, high = statistics.quantiles(ratios)
    without, with_ = (f"{1000 * statistics.median(taken):.3g} ms" for taken in seconds)
    print(
        f"| {what} | {classes} | {layout} | {without} | {with_} | {middle:.2f} ({low:.2f} to {high:.2f}) |", flush=True
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
