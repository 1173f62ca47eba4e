"""Two processes, or two parts, are one process with the same global batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from atonce.training import run_training
from tests.tiny import ENVIRONMENT, log_of, make_void, rows_of, set_options, streets, tiny_recipe

# Dropout and augmentation as the recipe has them; class weights make the valid weight of a batch uneven, too. At the
# recipe's own rate, six steps would make the rounding of the first one large.
SETTINGS = (
    "train.batch_size=4",
    "train.steps=6",
    "train.validate_every=null",
    "loss.l2=1e-3",
    "augment.hue=0.05",
    "optim.lr=3e-4",
)

EVERY_LOSS = (
    "loss.cross_entropy=0.7",
    "loss.label_smoothing=0.1",
    "loss.focal=0.5",
    "loss.dice=0.5",
    "loss.lovasz=0.5",
    "augment.quarter_turns=0.5",
    "augment.flip_vertical=0.5",
    "augment.balanced_crops=0.5",
)


@pytest.fixture(scope="module")
def uneven_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every second mask is nearly all void."""
    return make_void(streets(tmp_path_factory.mktemp("uneven") / "data"))


@pytest.fixture(scope="module")
def single(uneven_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    run = tmp_path_factory.mktemp("single") / "run"
    run_training(tiny_recipe(*SETTINGS), uneven_data, run)
    return run


def assert_same_training(run: Path, single: Path) -> None:
    one, other = log_of(run), log_of(single)
    assert [row["step"] for row in one] == [row["step"] for row in other] == [1, 2, 3, 4, 5, 6]
    for quantity in ("loss", "cross_entropy", "distillation", "l2", "grad_norm"):
        assert [row[quantity] for row in one] == pytest.approx([row[quantity] for row in other], abs=1e-4), quantity
    assert [row["step"] for row in rows_of(run)] == ["2", "3", "4", "5", "6"]
    for one_row, other_row in zip(rows_of(run), rows_of(single), strict=True):
        assert one_row["step"] == other_row["step"]
        # A pixel on the edge between two classes may fall to either side: a thousandth of the pixels.
        for score in ("mean_iou", "pixel_accuracy"):
            assert float(one_row[score]) == pytest.approx(float(other_row[score]), abs=2e-3), score


def launch(launcher: list[str], data: Path, out: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *launcher, "-m", "atonce", "train", str(data), "--out", str(out)]
    return subprocess.run(
        [*command, *set_options(*settings)], capture_output=True, text=True, timeout=240, env=ENVIRONMENT
    )


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_have_the_losses_of_one(uneven_data: Path, single: Path, tmp_path: Path) -> None:
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = launch(launcher, uneven_data, tmp_path / "run", *SETTINGS)
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same_training(tmp_path / "run", single)
    assert done.stdout.count("mean IoU") == 1, "the second process talks, too"
    names = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*.*")}
    assert {"report.html", "evaluation.json", "model.safetensors"} <= names
    assert not [name for name in names if ".tmp" in name]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_with_a_teacher_and_every_loss_have_the_losses_of_one(
    uneven_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    settings = (*SETTINGS, *EVERY_LOSS, f"distill.teacher={tiny_model}", "distill.weight=0.7")
    run_training(tiny_recipe(*settings), uneven_data, tmp_path / "single")
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = launch(launcher, uneven_data, tmp_path / "run", *settings, "train.accumulate=2", "data.cache=disk")
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same_training(tmp_path / "run", tmp_path / "single")
    for quantity in ("distillation", "focal", "dice", "lovasz"):
        rows = [[row[quantity] for row in log_of(tmp_path / run)] for run in ("run", "single")]
        assert rows[0] == pytest.approx(rows[1], abs=1e-4) and min(rows[0]) > 0, quantity
    assert not (tmp_path / "run" / "decoded").exists()


@pytest.mark.parametrize("settings", [("train.accumulate=2",), ("train.accumulate=4",)])
def test_a_batch_in_parts_has_the_losses_of_the_whole(
    uneven_data: Path, single: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    run_training(tiny_recipe(*SETTINGS, *settings), uneven_data, tmp_path / "run")
    assert_same_training(tmp_path / "run", single)


def test_the_number_of_threads_that_decode_changes_nothing(uneven_data: Path, single: Path, tmp_path: Path) -> None:
    run_training(tiny_recipe(*SETTINGS, "data.workers=4"), uneven_data, tmp_path / "run")
    assert [row["loss"] for row in log_of(tmp_path / "run")] == [row["loss"] for row in log_of(single)]


def test_accelerate_launch_starts_a_training(street_data: Path, tmp_path: Path) -> None:
    launcher = ["accelerate.commands.launch", "--num_processes", "1", "--cpu"]
    done = launch(launcher, street_data, tmp_path / "run", "train.steps=2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert [row["step"] for row in log_of(tmp_path / "run")] == [1, 2]


def test_two_processes_say_a_users_mistake_without_hanging(street_data: Path, tmp_path: Path) -> None:
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = launch(launcher, street_data, tmp_path / "run", "train.batch_size=3")
    assert done.returncode != 0
    assert "train.batch_size = 3 for 2 processes x 1 parts; expected a multiple of 2" in done.stderr
    assert not (tmp_path / "run").exists()
