"""Converting weights in Python gives the files of `atonce weights convert`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from atonce.errors import UserError, as_command_line, as_python
from atonce.exporting.convert_weights import convert_weights
from atonce.model_file import load_model_file
from tests.commands import Command
from tests.weights.torchfcn_checkpoints import save_checkpoint
from tests.weights.torchvision_vgg import TorchvisionVGG


def assert_same_content(one: Path, other: Path) -> None:
    """Safetensors writes metadata in any order, so that bytes may differ."""
    with safe_open(one, "pt") as first, safe_open(other, "pt") as second:
        assert first.metadata() == second.metadata()
    tensors, others = load_file(one), load_file(other)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def test_a_checkpoint_becomes_the_model_file_of_the_command(tmp_path: Path, atonce: Command) -> None:
    source, classes = save_checkpoint("FCN8s", tmp_path / "fcn8s.pth", classes=2).path, tmp_path / "classes.yaml"
    classes.write_text("[road, sky]")
    done = convert_weights(str(source), str(tmp_path / "new" / "a.safetensors"), classes=str(classes))
    assert done.path == tmp_path / "new" / "a.safetensors"
    assert done.weights.layout == "pytorch-fcn" and done.weights.num_classes == 2
    assert [as_python(note) for note in done.notes] == [
        "taken for a staged FCN-8s; add at_once=True if it was trained at once"
    ]
    ran = atonce("weights", "convert", source, "--out", tmp_path / "b.safetensors", "--classes", classes)
    assert ran.code == 0 and as_command_line(done.notes[0]) in ran.err and done.weights.summary() in ran.out
    assert_same_content(done.path, tmp_path / "b.safetensors")
    at_once = convert_weights(source, tmp_path / "c.safetensors", at_once=True, layout="pytorch-fcn")
    assert at_once.notes == () and load_model_file(at_once.path).model.scales == {4: 0.01, 3: 0.0001}


def test_a_vgg_becomes_the_file_of_the_command(tmp_path: Path, atonce: Command) -> None:
    source = tmp_path / "vgg16.pth"
    torch.save(TorchvisionVGG().randomise(1.0).state_dict(), source)
    done = convert_weights(source, tmp_path / "a.safetensors")
    assert done.weights.network is None and done.weights.num_classes is None and done.notes == ()
    assert atonce("weights", "convert", source, "--out", tmp_path / "b.safetensors").code == 0
    assert_same_content(done.path, tmp_path / "b.safetensors")
    for options, said in (
        ({"at_once": True}, "at_once=True with VGG-16"),
        ({"classes": "classes.yaml"}, "`classes` with a VGG-16"),
        ({"layout": "kears"}, "no layout 'kears'"),
    ):
        with pytest.raises(UserError, match=said):
            convert_weights(source, tmp_path / "c.safetensors", **options)
    with pytest.raises(UserError, match=r"out='.*c\.pth'; expected a name that ends in"):
        convert_weights(source, tmp_path / "c.pth")
