"""train.epochs, data.size and loss.l2_on in a run: what is trained is what the recipe says, and it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from atonce.errors import RecipeError
from atonce.exporting.export_model import export
from atonce.inference import load
from atonce.model import FCN, initialise
from atonce.model_file import load_model_file
from atonce.recipes import FCNConfig, load_recipe
from atonce.recipes.schema import TrainConfig
from atonce.training import run_training
from atonce.training.losses import kernels, l2_penalty
from tests.tiny import tiny_recipe


@pytest.mark.parametrize(
    ("epochs", "pictures", "batch", "steps"),
    [(1, 6, 2, 3), (3, 289, 4, 217), (0.1, 30, 1, 3), (0.01, 6, 2, 1), (2.5, 6, 2, 8), (40, 231, 4, 2310)],
)
def test_epochs_are_passes_over_the_pictures(epochs: float, pictures: int, batch: int, steps: int) -> None:
    knobs = TrainConfig(epochs=epochs, batch_size=batch)
    assert knobs.with_steps_of_epochs(pictures).steps == steps
    assert TrainConfig(steps=7).with_steps_of_epochs(pictures).steps == 7


def logged_steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_run_of_epochs_is_the_run_of_as_many_steps(street_data: Path, tmp_path: Path) -> None:
    """Six streets in batches of two: two epochs are six steps. The recipe in the folder says what was asked for."""
    overrides = ("train.validate_every=3", "train.save_every=3")
    by_epochs = run_training(tiny_recipe("train.epochs=2", *overrides), street_data, tmp_path / "epochs")
    by_steps = run_training(tiny_recipe("train.steps=6", *overrides), street_data, tmp_path / "steps")
    assert by_epochs.progress.step == by_steps.progress.step == 6
    assert logged_steps(tmp_path / "epochs") == [1, 2, 3, 4, 5, 6]
    one, other = by_epochs.model.state_dict(), by_steps.model.state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    kept = load_recipe(tmp_path / "epochs" / "recipe.yaml")
    assert kept.train.epochs == 2
    assert load_model_file(tmp_path / "epochs" / "model.safetensors").recipe["train"]["steps"] == 6


def test_a_run_of_epochs_resumes_and_can_be_made_longer(street_data: Path, tmp_path: Path) -> None:
    whole = run_training(tiny_recipe("train.epochs=2", "optim.schedule=constant"), street_data, tmp_path / "whole")
    begun = tiny_recipe("train.epochs=1", "optim.schedule=constant")
    run_training(begun, street_data, tmp_path / "parts")
    recipe = load_recipe(tmp_path / "parts" / "recipe.yaml", ["train.epochs=2"])
    longer = run_training(recipe, street_data, tmp_path / "parts", resume=True)
    one, other = whole.model.state_dict(), longer.model.state_dict()
    assert longer.progress.step == 6 and all(torch.equal(one[key], other[key]) for key in one)


def test_a_stage_without_a_step_is_refused_once_the_pictures_are_counted(street_data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("train.epochs=0.2", "schedule=staged", "train.steps=100")
    with pytest.raises(RecipeError, match=r"stages.shares leave FCN-32s 0.33 of 1 steps"):
        run_training(recipe, street_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_exact_size_is_the_same_in_training_use_and_exports(street_data: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("data.size=[32, 96]", "data.crop=[32, 96]", "augment.scale=[1, 1]")
    run = run_training(recipe, street_data, tmp_path / "run")
    _, batch = next(iter(run.stream.batches(0, 1)))
    assert set(batch.targets) == {(32, 96)} and batch.sizes[0] == (32, 64), "decoded no larger than the picture is"
    model = load_model_file(tmp_path / "run" / "model.safetensors")
    assert model.input_size.size == (32, 96)
    predictor = load(tmp_path / "run", device="cpu")
    seen: list[tuple[int, ...]] = []
    first = predictor.model_file.model.trunk.convolutions()[0]["conv1_1"]
    first.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    # Larger, smaller, of other proportions: each comes back at its own size.
    for size in ((48, 64), (200, 90), (20, 20)):
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        assert predictor(Image.fromarray(image)).labels.shape == size
    assert seen == [(1, 3, 32, 96)] * 3
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    exported = export(tmp_path / "run", to="onnx", out=tmp_path / "m.onnx")
    assert exported is not None
    from_file = load(tmp_path / "m.onnx")
    assert from_file.model_file.input_size.size == (32, 96)
    image = np.random.default_rng(1).integers(0, 256, (70, 50, 3), np.uint8)
    assert (from_file(image).labels != predictor(image).labels).mean() < 0.01


def test_l2_on_the_added_layers_leaves_vgg16_alone(street_data: Path, tmp_path: Path) -> None:
    model = initialise(FCN(FCNConfig(width=0.125, head_width=8, upsampling="learned"), 3))
    names = {id(p): name for name, p in model.named_parameters()}
    added = [names[id(p)] for p in kernels(model, added_only=True)]
    assert added == [
        *("score_fc7.weight", "score_pools.pool4.weight", "score_pools.pool3.weight"),
        *("up_pools.pool4.weight", "up_pools.pool3.weight", "up_output.weight"),
    ]
    expected = sum(float(model.get_parameter(name).detach().square().sum()) for name in added)
    assert float(l2_penalty(model, 1e-3, added_only=True).detach()) == pytest.approx(5e-4 * expected, rel=1e-6)
    l2_penalty(model, 1e-3, added_only=True).backward()
    assert all(p.grad is None for part in (model.trunk, model.head) for p in part.parameters())
    torch.testing.assert_close(model.score_fc7.weight.grad, 1e-3 * model.score_fc7.weight.detach())
    # In a run: what is logged is the term over these layers.
    for which in ("all", "added"):
        run_training(tiny_recipe(f"loss.l2_on={which}", "loss.l2=1e-3"), street_data, tmp_path / which)
    logged = [json.loads((tmp_path / which / "log.jsonl").read_text().splitlines()[0]) for which in ("all", "added")]
    assert 0 < logged[1]["l2"] < logged[0]["l2"] / 5


def test_the_recipe_of_the_road_exercise() -> None:
    recipe = load_recipe("road-at-once")
    model, data, loss, optim = recipe.model, recipe.data, recipe.loss, recipe.optim
    assert (model.stride, model.skip_scales, model.head_width, model.head_scale) == (8, "at-once", 4096, 1.0)
    assert (model.upsampling, model.upsampling_init, model.score_init) == ("learned", "normal", "normal")
    assert model.score_init_sigma == 1e-3 and model.dropout == 0.5 and not model.freeze_trunk
    assert data.size == data.crop == (160, 576)
    assert (loss.l2, loss.l2_on, loss.l2_added) == (1e-3, "added", True)
    assert (optim.name, optim.lr) == ("adam", 1e-4) and recipe.train.epochs is not None
