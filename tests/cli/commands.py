"""Commands as a user gives them, and small model files to give them."""

import sys
from pathlib import Path

import pytest

from atonce.cli import main
from atonce.labels import KITTI_ROAD, LabelSpec
from atonce.model import FCN
from atonce.model_file import ModelFile
from atonce.recipes import FCNConfig


def atonce(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run a command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["atonce", *map(str, words)])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def save_model(path: Path, labels: LabelSpec = KITTI_ROAD, **data: object) -> Path:
    """A network that has learned nothing; `data` is the section of its recipe."""
    network = FCN(FCNConfig(stride=32, width=0.05, head_width=4), labels.num_classes)
    ModelFile(network, labels, recipe={"data": data} if data else {}).save(path)
    return path
