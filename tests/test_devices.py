"""A device's name, and the absence of one, mean the same for every command."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

import atonce as package
from atonce import devices
from atonce.devices import default_device, usable_device
from atonce.errors import RecipeError, UserError
from atonce.training.hardware import accelerator_for, describe_hardware
from tests.commands import Command, all_commands
from tests.tiny import set_options, tiny_recipe

WITH_DEVICE = ("train", "ablate", "evaluate", "predict", "export", "serve", "submit")

no_gpu = pytest.mark.skipif(torch.accelerator.is_available(), reason="a machine with a GPU")


@pytest.fixture(autouse=True)
def _leave_no_accelerator() -> Any:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("name", WITH_DEVICE)
def test_every_command_that_computes_and_its_function_take_a_device(name: str) -> None:
    flags = {flag: param.help for param in all_commands()[name].params for flag in param.opts}
    assert "cpu" in flags["--device"]
    assert "device" in inspect.signature(getattr(package, name)).parameters


def test_the_help_of_train_says_how_devices_are_chosen(atonce: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = " ".join(atonce("train", "--help").out.split())
    assert "the first GPU, or the CPU where there is none; --device chooses" in said
    assert "torchrun --nproc-per-node 2 -m atonce train DATA" in said


@no_gpu
def test_a_device_that_is_not_there_is_refused_alike(
    atonce: Command, street_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    picture = next((street_data / "val" / "images").iterdir())
    words: dict[str, tuple[str | Path, ...]] = {
        "train": (street_data, "--out", tmp_path / "run", *set_options()),
        "ablate": (street_data, "--study", "stride", "--out", tmp_path / "study", *set_options()),
        "evaluate": (tiny_model, street_data),
        "predict": (tiny_model, picture, "--out", tmp_path / "out"),
        "serve": (tiny_model,),
        "submit": (tiny_model, street_data),
    }
    for command, more in words.items():
        mistake = atonce(command, *more, "--device", "cuda:7").mistake
        assert mistake == "atonce: there is no device 'cuda:7' here; expected one of cpu", command
    exported = atonce("export", tiny_model, "--to", "onnx", "--device", "cuda:7").mistake
    assert "an export with --device cuda:7; expected --device cpu; exported files are made" in exported
    assert not (tmp_path / "run").exists()


def test_the_default_is_one_for_all(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    """ "meta" stands for a GPU: torch has it everywhere."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
    assert default_device() == usable_device(None) == torch.device("meta")
    from atonce.inference import network_predictor
    from atonce.inference.engines import engines_for

    assert engines_for("auto") == ("torch",), "engines for CPUs are left to those who name them"
    assert network_predictor.usable_device is usable_device  # type: ignore[attr-defined]


def test_an_accelerator_without_float64_is_left_to_those_who_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))
    monkeypatch.setattr(devices, "has_float64", lambda device: device.type != "mps")
    assert default_device() == torch.device("cpu")


def test_training_takes_the_device_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atonce.training.hardware.usable_device", torch.device)
    accelerator = accelerator_for(tiny_recipe(), "cpu")
    assert accelerator.device == torch.device("cpu")
    assert describe_hardware(accelerator) == "on cpu (1 thread), fp32"
    # Another device in the same process; and back again, without one.
    assert accelerator_for(tiny_recipe(), "meta").device == torch.device("meta")
    assert accelerator_for(tiny_recipe(), "cpu").device == torch.device("cpu")


def test_fp16_needs_a_gpu_that_is_used() -> None:
    with pytest.raises(RecipeError, match="fp16 without a GPU"):
        accelerator_for(tiny_recipe("train.precision=fp16"), "cpu")


def test_of_several_processes_none_is_sent_to_the_gpu_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"device='cuda:1' for 2 processes; expected device='cuda', of which each"):
        accelerator_for(tiny_recipe(), "cuda:1")


def test_one_device_or_several_in_a_study(street_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"device='cpu' and `devices`; expected one of them"):
        package.ablate(street_data, "stride", out=tmp_path, device="cpu", devices="cpu,cpu")
