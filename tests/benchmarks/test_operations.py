"""Operations are counted as one does by hand, a multiplication and an addition as two."""

from __future__ import annotations

from functools import partial

import pytest

from benchmarks.inference import Setting, unfilled, unfilled_torchfcn
from benchmarks.operations import Cell, forward_operations, step_operations

# (inputs, outputs) of VGG-16's convolutions, and how often the picture has been halved before.
TRUNK = (
    (3, 64, 0), (64, 64, 0), (64, 128, 1), (128, 128, 1), (128, 256, 2), (256, 256, 2), (256, 256, 2),
    (256, 512, 3), (512, 512, 3), (512, 512, 3), (512, 512, 4), (512, 512, 4), (512, 512, 4),
)  # fmt: skip


def by_hand(height: int, width: int, classes: int, head: int) -> int:
    """A picture whose sides are multiples of 32, with pads that keep the sizes."""
    pixels = [(height >> halved) * (width >> halved) for halved in range(6)]
    products = sum(9 * inputs * outputs * pixels[halved] for inputs, outputs, halved in TRUNK)
    products += pixels[5] * (49 * 512 * head + head * head + head * classes)
    products += pixels[4] * 512 * classes + pixels[3] * 256 * classes
    return 2 * products


def test_operations_of_ours_are_those_counted_by_hand() -> None:
    counted = forward_operations(partial(unfilled, Setting()), Cell(160, 576, 1))
    assert counted == by_hand(160, 576, classes=2, head=4096)
    assert round(counted / 1e9) == 78


def test_other_sizes_heads_and_batches() -> None:
    setting = Setting(head_width=96, classes=11)
    # 375 and 1242 grow to multiples of 32.
    counted = forward_operations(partial(unfilled, setting), Cell(375, 1242, 3))
    assert counted == 3 * by_hand(384, 1248, classes=11, head=96)


def test_torchfcn_and_our_published_geometry_differ_by_the_dense_upsampling_only() -> None:
    cell, setting = Cell(160, 576, 1), Setting(classes=2)
    theirs = forward_operations(partial(unfilled_torchfcn, setting), cell)
    ours = forward_operations(partial(unfilled, setting, "caffe"), cell)
    # Transposed convolutions count at their input: 6x19 scores by 4x4, 14x40 by 4x4, 30x82 by 16x16; theirs from each
    # class to each, ours within a class.
    dense = 2 * (6 * 19 * 16 + 14 * 40 * 16 + 30 * 82 * 256)
    assert theirs - ours == dense * (2 * 2 - 2)
    assert theirs > 2.5 * forward_operations(partial(unfilled, setting), cell)


def test_a_step_is_three_passes_without_the_gradient_of_the_picture() -> None:
    cell, setting = Cell(64, 96, 2), Setting(head_width=32)
    forward = forward_operations(partial(unfilled, setting), cell)
    first = 2 * 2 * 9 * 3 * 64 * 64 * 96
    assert step_operations(partial(unfilled, setting), cell) == pytest.approx(3 * forward - first)
