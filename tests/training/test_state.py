"""The state of a run: what the optimiser remembers stays with its weights, whatever the order of their groups."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from atonce.errors import TrainingError
from atonce.model import FCN
from atonce.recipes.schema import OptimConfig
from atonce.safetensors_writer import save_tensors
from atonce.training import run_training
from atonce.training.optimizers import build_optimizer
from atonce.training.state import RunProgress, load_state, read_progress, save_state
from tests.networks import small_network
from tests.tiny import log_of, tiny_recipe

DECAYS = [(1.0, 0.8), (0.8, 1.0)]
"""optim.trunk_lr_decay when the run began, and when it goes on: with 1 the trunk is one part, else each of its blocks."""


def config_with(name: str, decay: float) -> OptimConfig:
    return OptimConfig.model_validate({"name": name, "trunk_lr_decay": decay})


def stepped(name: str, decay: float) -> tuple[FCN, torch.optim.Optimizer]:
    """A network and its optimiser after a step, in which each weight had a gradient of its own."""
    model = small_network()
    optimizer = build_optimizer(model, config_with(name, decay))
    for number, parameter in enumerate(model.parameters(), 1):
        parameter.grad = torch.full_like(parameter, float(number))
    optimizer.step()
    return model, optimizer


def moments_of(model: FCN, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {
        f"{name}.{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def save(path: Path, model: FCN, optimizer: torch.optim.Optimizer) -> Path:
    progress = RunProgress(model.config.model_dump(mode="json"), step=1)
    save_state(path, progress, model, optimizer=optimizer, average=None)
    return path


def save_numbered(path: Path, model: FCN, optimizer: torch.optim.Optimizer) -> Path:
    """Save the state as before, when moments had the numbers of their weights in the order of the groups."""
    save(path, model, optimizer)
    tensors = {key: value for key, value in load_file(path).items() if not key.startswith("optimizer.")}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value).contiguous() for key, value in slots.items()}
    return rewrite(path, tensors)


def rewrite(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """Replace the tensors of a state, and keep the rest."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_tensors(path, tensors, metadata)
    return path


@pytest.mark.parametrize("write", [save, save_numbered])
@pytest.mark.parametrize(("began", "goes_on"), [*DECAYS, (1.0, 1.0), (0.8, 0.8)])
@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_moments_stay_with_their_weights(write: Any, began: float, goes_on: float, name: str, tmp_path: Path) -> None:
    model, optimizer = stepped(name, began)
    expected = {key: value.clone() for key, value in moments_of(model, optimizer).items()}
    path = write(tmp_path / "state.safetensors", model, optimizer)
    again = small_network()
    restored = build_optimizer(again, config_with(name, goes_on))
    load_state(path, again, restored, None)
    found = moments_of(again, restored)
    assert found.keys() == expected.keys()
    assert [key for key in found if not torch.equal(found[key], expected[key])] == []


@pytest.mark.parametrize("damage", ["shape", "name"])
def test_moments_of_other_weights_are_refused_by_their_names(damage: str, tmp_path: Path) -> None:
    model, optimizer = stepped("sgd", 1.0)
    path = save(tmp_path / "state.safetensors", model, optimizer)
    tensors = load_file(path)
    moment = tensors.pop("optimizer.head.fc6.bias.momentum_buffer")
    changed = {"shape": ("head.fc6.bias", moment[:1].clone()), "name": ("head.fc8.bias", moment)}
    parameter, value = changed[damage]
    rewrite(path, {**tensors, f"optimizer.{parameter}.momentum_buffer": value})
    with pytest.raises(TrainingError, match=f"does not fit this recipe: its optimiser.*{parameter}"):
        load_state(path, model, optimizer, None)


def test_a_run_goes_on_with_another_decay_of_the_trunk_s_rates(
    tiny_run: Path, street_data: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    run_training(tiny_recipe("optim.trunk_lr_decay=0.8", "train.steps=6"), street_data, run, resume=True)
    assert [row["step"] for row in log_of(run)] == [1, 2, 3, 4, 5, 6]


def test_what_does_not_fit_leaves_the_recipe_as_it_was(tiny_run: Path, street_data: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    state, recipe = run / "state" / "state.safetensors", (run / "recipe.yaml").read_bytes()
    tensors = load_file(state)
    key = next(key for key in tensors if key.startswith("optimizer.") and tensors[key].ndim == 4)
    rewrite(state, {**tensors, key: tensors[key][:1].clone()})
    with pytest.raises(TrainingError, match="moments are of another shape"):
        run_training(tiny_recipe("train.steps=6", "optim.lr=1e-5"), street_data, run, resume=True)
    assert (run / "recipe.yaml").read_bytes() == recipe
    assert read_progress(state).step == 4
