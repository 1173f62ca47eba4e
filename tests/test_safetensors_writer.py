"""Safetensors files: the same content is the same bytes, and what is written is read."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from atonce.safetensors_writer import save_tensors

TENSORS = {"b": torch.arange(6).reshape(2, 3), "a": torch.tensor([1.5, -2.0])}
TEXTS = {"zebra": "grün", "alpha": '{"quotes": "and \\\\ more"}', "middle": "", "format": "pt"}


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    for number in range(8):
        save_tensors(tmp_path / f"{number}.safetensors", TENSORS, TEXTS)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, TENSORS, TEXTS)
    found = load_file(path)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    with safe_open(path, "pt") as file:
        assert file.metadata() == TEXTS
    assert [other.name for other in tmp_path.iterdir()] == ["x.safetensors"]
