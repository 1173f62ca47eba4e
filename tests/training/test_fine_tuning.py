"""A model of one's own as the beginning of the next: its network, and its scores of the classes that both know."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from atonce.errors import WeightsError
from atonce.model import FCN
from atonce.model_file import load_model_file
from atonce.recipes import Recipe, load_recipe
from atonce.recipes.recipe_files import given_keys
from atonce.training import Callback, run_training, set_up
from atonce.training.fine_tuning import with_shape_of_weights
from atonce.training.recipe_choice import choose_recipe, choose_run
from tests.commands import Command
from tests.tiny import SETTINGS, tiny_recipe

IMAGES = torch.arange(2 * 3 * 48 * 64, dtype=torch.float32).reshape(2, 3, 48, 64) % 256
TRAINING = (*(text for text in SETTINGS if not text.startswith("model.")), "train.steps=1")
"""What a user sets who leaves the network to the weights."""


class Notes(Callback):
    def __init__(self) -> None:
        self.notes = list[str]()

    def on_note(self, text: str) -> None:
        self.notes.append(text)

    @property
    def weights(self) -> str:
        told = [note for note in self.notes if note.startswith("weights: ")]
        assert len(told) == 1
        return told[0]


def begun(data: Path, out: Path, weights: Path, *overrides: str, recipe: str = "folder") -> tuple[FCN, Recipe, str]:
    """The network before its first step, on the CPU, its recipe, and what was said of its weights."""
    notes = Notes()
    settings = [*TRAINING, *overrides]
    folder, chosen = choose_run(data, recipe=recipe, out=out, overrides=settings, weights=weights)
    with (run := set_up(chosen, data, folder, callback=notes)).lock:
        return run.model.eval(), chosen, notes.weights


def scores(model: FCN) -> torch.Tensor:
    # The order of sums, so their last bits, depends on how kernels lie in memory.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        return model(IMAGES)


@pytest.mark.parametrize(
    "variant",
    [
        (),
        ("model.stride=16", "model.alignment=caffe"),
        ("model.stride=32", "data.scale=0.75", "data.max_side=60"),
        ("model.upsampling=learned", "model.skip_scales=[0.5,0.25]", "model.head_scale=2"),
        ("optim.ema_decay=0.9", "model.skip_scales=calibrate"),
    ],
    ids=["as it is", "16s caffe", "32s small pictures", "learned", "averaged and calibrated"],
)
def test_with_the_same_classes_the_scores_before_the_first_step_are_the_old_models(
    variant: tuple[str, ...], street_data: Path, tmp_path: Path
) -> None:
    old = run_training(tiny_recipe("train.steps=2", *variant), street_data, tmp_path / "old").folder
    for number, weights in enumerate((old.path, old.model)):
        model, recipe, told = begun(street_data, tmp_path / f"new{number}", weights)
        before = load_model_file(old.model)
        assert torch.equal(scores(model), scores(before.model)), "bit for bit"
        assert model.config.model_dump(exclude={"dropout", "trunk_init", "score_init", "score_init_sigma"}) == (
            before.model.config.model_dump(exclude={"dropout", "trunk_init", "score_init", "score_init_sigma"})
        )
        assert (recipe.data.scale, recipe.data.max_side) == (before.input_size.scale, before.input_size.max_side)
        assert torch.equal(model.normalise.mean, before.model.normalise.mean)
        assert "kept 11 of 11 classes" in told
        assert "fresh" not in told


@pytest.fixture
def other_classes(street_data: Path, tmp_path: Path) -> Path:
    """Two classes are new, two are gone, and those that are left are in another order."""
    data = Path(shutil.copytree(street_data, tmp_path / "other"))
    classes = yaml.safe_load((data / "classes.yaml").read_text())
    names = {"Fence": "tram", "Pole": "kerb"}
    listed = [{**entry, "name": names.get(entry["name"], entry["name"])} for entry in classes["classes"]]
    # Values say which is which; the order of ids follows from them.
    for value, entry in zip([10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0], listed, strict=True):
        entry["value"] = value
        del entry["colour"]
    (data / "classes.yaml").write_text(yaml.safe_dump({"classes": listed}))
    return data


@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
def test_rows_of_the_score_layers_are_copied_by_the_names_of_classes(
    upsampling: str, other_classes: Path, street_data: Path, tmp_path: Path
) -> None:
    settings = ("train.steps=2", f"model.upsampling={upsampling}")
    old = run_training(tiny_recipe(*settings), street_data, tmp_path / "old").folder
    model, _, told = begun(other_classes, tmp_path / "new", old.path)
    assert "kept 9 of 11 classes; new: tram, kerb; left out: Pole, Fence" in told
    before = load_model_file(old.model)
    names = [entry["name"] for entry in yaml.safe_load((other_classes / "classes.yaml").read_text())["classes"]][::-1]
    known = [name for name in names if name in before.labels.names]
    here, there = ([names_.index(name) for name in known] for names_ in (names, before.labels.names))
    ours, theirs = model.state_dict(), before.model.state_dict()
    for layer in ("score_fc7", "score_pools.pool4", "score_pools.pool3"):
        for part in ("weight", "bias"):
            assert torch.equal(ours[f"{layer}.{part}"][here], theirs[f"{layer}.{part}"][there])
    if upsampling == "fixed":
        # Fixed upsampling does not mix classes: those that are known are scored as before.
        torch.testing.assert_close(scores(model)[:, here], scores(before.model)[:, there])
    assert not torch.equal(
        ours["score_fc7.weight"][names.index("tram")], theirs["score_fc7.weight"][before.labels.names.index("Fence")]
    )


def test_data_with_no_class_of_the_model_keep_its_trunk_and_head(
    other_classes: Path, tiny_run: Path, tmp_path: Path
) -> None:
    text = (other_classes / "classes.yaml").read_text()
    for number, name in enumerate(load_model_file(tiny_run / "model.safetensors").labels.names):
        text = text.replace(f"name: {name}\n", f"name: thing {number}\n")
    (other_classes / "classes.yaml").write_text(text)
    model, _, told = begun(other_classes, tmp_path / "new", tiny_run)
    assert "kept 0 of 11 classes; new: thing 10" in told
    assert "fresh: score_fc7, score_pools.pool4, score_pools.pool3" in told
    before = load_model_file(tiny_run / "model.safetensors").model
    assert torch.equal(model.head.fc6.weight, before.head.fc6.weight)


def test_a_knob_that_is_set_stays_and_messages_name_the_number_that_fits(
    street_data: Path, tiny_run: Path, tmp_path: Path, atonce: Command
) -> None:
    told = atonce(
        *("train", street_data, "--weights", tiny_run, "--out", tmp_path / "x"),
        *(word for text in (*TRAINING, "model.width=0.25") for word in ("--set", text)),
    ).mistake
    assert "model.width is 0.25; these need 0.125" in told
    _, recipe, said = begun(street_data, tmp_path / "head", tiny_run, "model.head_width=24", "model.stride=16")
    assert (recipe.model.head_width, recipe.model.stride, recipe.model.width) == (24, 16, 0.125)
    assert "fc6 and fc7 start fresh: model.head_width is 24, theirs is 16" in said
    assert "fresh: head.fc6, head.fc7, score_fc7" in said
    model, _, _ = begun(street_data, tmp_path / "scales", tiny_run, "model.skip_scales=unit", "model.head_scale=3")
    before = load_model_file(tiny_run / "model.safetensors").model
    assert model.scales == {4: 1.0, 3: 1.0}
    torch.testing.assert_close(scores(model), scores(before), rtol=1e-3, atol=1e-4)
    model, _, _ = begun(street_data, tmp_path / "measured", tiny_run, "model.skip_scales=calibrate")
    assert torch.equal(scores(model), scores(before)), "scales that were trained with are not measured anew"


def test_a_knob_counts_as_set_by_an_override_a_file_of_ones_own_or_a_recipe(
    street_data: Path, tmp_path: Path, tiny_run: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("model:\n  width: 0.5\nweights: null\n")
    assert given_keys("streets") == frozenset()
    assert given_keys("streets", ["optim.lr=1"]) == {"optim.lr"}
    assert given_keys("streets", ["model={width: 1}", "weights=a"]) == {"model.width", "weights"}
    assert given_keys(own, ["train.checkpoint=true"]) == {
        "model.width",
        "weights",
        "train.activation_checkpointing",
    }
    assert given_keys(Recipe.model_validate({"data": {"scale": 2}})) == {"data.scale"}
    assert choose_recipe(street_data, recipe="streets", weights=tiny_run).model.width == 0.125
    network = choose_recipe(street_data, recipe=own, weights=tiny_run).model
    assert (network.width, network.head_width) == (0.5, 16)


def test_weights_that_are_no_model_leave_the_recipe_as_it_is(tmp_path: Path) -> None:
    recipe = load_recipe("streets")
    (tmp_path / "text.safetensors").write_text("no model")
    for weights in (None, "vgg16-caffe", "none.safetensors", "text.safetensors", "."):
        there = weights and str(tmp_path / weights) if weights not in (None, "vgg16-caffe") else weights
        assert with_shape_of_weights(recipe.model_copy(update={"weights": there}), ()).model == recipe.model


def test_the_recipe_of_the_run_holds_the_network_and_the_run_goes_on(
    street_data: Path, tiny_run: Path, tmp_path: Path
) -> None:
    folder, recipe = choose_run(
        street_data, recipe="folder", out=tmp_path / "run", overrides=TRAINING, weights=tiny_run
    )
    run_training(recipe, street_data, folder)
    assert load_recipe(folder / "recipe.yaml").model.width == 0.125
    _, again = choose_run(street_data, out=folder, overrides=["train.steps=2"], resume=True)
    assert run_training(again, street_data, folder, resume=True).progress.step == 2


def test_a_run_without_a_model_yet_is_told(street_data: Path, tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "old"))
    (run / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"old holds no model\.safetensors"):
        begun(street_data, tmp_path / "new", run)


def test_a_run_can_be_the_teacher(street_data: Path, tiny_run: Path, tmp_path: Path) -> None:
    run = run_training(tiny_recipe(f"distill.teacher={tiny_run}", "train.steps=1"), street_data, tmp_path / "run")
    assert run.teacher is not None
