"""What two runs must have in common to be the same run: tensors bit for bit, logs and metrics but for the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from tests.tiny import rows_of

TIMES = {"seconds", "pictures_per_second", "waited", "minutes"}


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in sorted(file.keys())}


def assert_same_tensors(path: Path, other: Path) -> None:
    one, two = tensors_of(path), tensors_of(other)
    assert one.keys() == two.keys()
    different = [key for key in one if not torch.equal(one[key], two[key])]
    assert not different, f"{path.name}: {different[:5]}"


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def metrics_of(run: Path) -> list[dict[str, Any]]:
    return without_times(rows_of(run))
