"""Recipes: every mistake in one message with the nearest name, and nothing lost on the way to YAML and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from atonce.errors import RecipeError
from atonce.model import FCN
from atonce.recipes import Recipe, load_recipe, shipped_recipes, to_yaml
from atonce.recipes.recipe_files import RENAMED_KEYS, build
from atonce.training.run_length import share_done


def value(recipe: Recipe, key: str) -> Any:
    found: Any = recipe
    for part in key.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_loads_builds_its_network_and_says_what_it_is_for(name: str) -> None:
    recipe = load_recipe(name)
    with torch.device("meta"):
        network = FCN(recipe.model, 11)
    assert network.num_classes == 11
    about = shipped_recipes()[name]
    assert len(about) > 15
    assert not about.startswith("#")
    assert recipe.train.batch_size % recipe.train.accumulate == 0


@pytest.mark.parametrize("name", shipped_recipes())
def test_yaml_and_back_is_the_same_recipe(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(to_yaml(recipe), "utf-8")
    assert load_recipe(path) == recipe
    # The full recipe: every knob is there, defaults included.
    assert yaml.safe_load(path.read_text("utf-8")).keys() == Recipe.model_fields.keys()


def test_numbers_and_lists_survive_yaml(tmp_path: Path) -> None:
    overrides = [
        "optim.lr=1e-30",
        "model.skip_scales=[1.5e-3, 2e-4]",
        "loss.class_weights=[0.5, 1, 2]",
        "weights=a b #c.pth",
    ]
    recipe = load_recipe("folder", overrides[:3]).model_copy(update={"weights": "null"})
    path = tmp_path / "recipe.yml"
    path.write_text(to_yaml(recipe), "utf-8")
    assert load_recipe(path) == recipe


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("optim.lr=1e-4", "optim.lr", 1e-4),  # a word in YAML 1.1, and a number to everybody else
        ("optim.lr=1.0e-4", "optim.lr", 1e-4),
        ("optim.lr= 3", "optim.lr", 3.0),
        (" optim.lr=3", "optim.lr", 3.0),
        ("optim.clip_norm=null", "optim.clip_norm", None),
        ("optim.clip_norm=", "optim.clip_norm", None),
        ("data.crop=[96, 128]", "data.crop", (96, 128)),
        ("model.skip_scales=[1e-2, 1e-4]", "model.skip_scales", (0.01, 0.0001)),
        ("model.skip_scales=unit", "model.skip_scales", "unit"),
        ("model.head_scale=0.25", "model.head_scale", 0.25),
        ("model.freeze_trunk=true", "model.freeze_trunk", True),
        ("loss.class_weights=[1, 2.5]", "loss.class_weights", (1.0, 2.5)),
        ("weights=null", "weights", None),
        ("weights=/a=b.pth", "weights", "/a=b.pth"),
        ('weights="my #1: net.pth"', "weights", "my #1: net.pth"),
        ("optim={lr: 0.5}", "optim.lr", 0.5),
    ],
)
def test_an_override_is_yaml(override: str, key: str, expected: object) -> None:
    assert value(load_recipe("folder", [override]), key) == expected


def test_the_last_override_counts_and_the_others_stay() -> None:
    recipe = load_recipe("folder", ["optim.lr=1", "train.steps=7", "optim.lr=2"])
    assert (recipe.optim.lr, recipe.train.steps, recipe.optim.name) == (2.0, 7, "adamw")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.learning_rate=1", "unknown key 'optim.learning_rate'"),
        ("learning_rate=1e-4", "unknown key 'learning_rate', which is 'optim.lr' here"),
        ("train.Learning-Rate=1e-4", "which is 'optim.lr' here"),
        ("keep_prob=0.5", "unknown key 'keep_prob', which is 'model.dropout' here (1 - keep_prob)"),
        ("epochs=20", "unknown key 'epochs', did you mean 'train.epochs'?"),
        ("image_shape=[160, 576]", "unknown key 'image_shape', which is 'data.size' here"),
        ("num_classes=2", "unknown key 'num_classes', no knob here: the classes are those of the data"),
        ("train.max_iter=9", "unknown key 'train.max_iter', which is 'train.steps' here"),
        ("optim.lrr=1", "did you mean 'optim.lr'?"),
        ("model.headwidth=1", "did you mean 'model.head_width'?"),
        ("trian.steps=1", "unknown key 'trian', did you mean 'train'?"),
        ("lr=1", "unknown key 'lr', did you mean 'optim.lr'?"),
        ("data.steps=1", "unknown key 'data.steps', did you mean 'train.steps'?"),
        ("loss.xyzzy=1", "known here: loss.cross_entropy, loss.label_smoothing, loss.focal"),
        ("model.stride=7", "model.stride = 7: expected 8, 16 or 32"),
        ("model.skip_scales=ones", "model.skip_scales = 'ones': expected 'at-once', 'unit' or 'calibrate'"),
        ("model.skip_scales=[1]", "model.skip_scales"),
        ("train.steps=2.5", "train.steps = 2.5: expected a whole number"),
        ("train.steps=-1", "expected at least 1"),
        ("augment.flip=2", "augment.flip = 2: expected at most 1"),
        ("augment.scale=[2, 1]", "the first number should not be larger than the second"),
        ("optim.lr=nan", "optim.lr = 'nan'"),
        ("optim.lr=.nan", "optim.lr = nan: expected a finite number"),
        ("train.max_minutes=.inf", "finite number"),
        ("data.val_fraction=1", "less than 1"),
        ("train.seed=-3", "expected at least 0"),
        ("data.split_seed=-3", "expected at least 0"),
        ("train.steps", "--set train.steps; expected section.key=value"),
        ("=1", "--set =1; expected section.key=value"),
        ("data.crop=[1, 2", "--set 'data.crop=[1, 2': the value is not valid YAML"),
        ("train.steps.more=1", "--set train.steps.more=1: 'steps' is not a section"),
    ],
)
def test_a_mistake_is_named_in_one_line(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("folder", [override])
    assert message in caught.value.for_command_line()
    assert "\n" not in str(caught.value)


def test_an_override_that_is_none_is_named_as_python_names_it() -> None:
    with pytest.raises(RecipeError, match=r"^overrides='train.steps'; expected section\.key=value"):
        load_recipe("folder", ["train.steps"])


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("folder", ["model.strid=8", "optim.lr=fast", "train.steps=0", "agument.flip=1"])
    for told in ("model.stride", "optim.lr = 'fast'", "train.steps = 0", "did you mean 'augment'"):
        assert told in str(caught.value)


def test_a_recipe_of_ones_own_starts_from_the_papers_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# mine\noptim:\n  lr: 1e-3\ntrain:\nweights:\n")
    recipe = load_recipe(path)
    assert recipe == build({"optim": {"lr": 1e-3}}, "test")
    assert (recipe.model.head_width, recipe.optim.name, recipe.weights) == (4096, "sgd", None)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_an_empty_recipe_is_the_defaults(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert load_recipe(path) == Recipe()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "is not valid YAML"),
        (b"- a\n- b\n", "holds a list; expected sections"),
        (b"just words", "holds a str; expected sections"),
        (b"a: \xff", "text in UTF-8"),
        (b"model: 5", "model = 5"),
        (b"1: 2", "unknown key '1'"),
        (b"optim:\n\tlr: 1", "is not valid YAML"),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yaml_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"weights: !!python/object/apply:os.system ['touch {tmp_path / 'pwned'}']\n")
    with pytest.raises(RecipeError, match="is not valid YAML"):
        load_recipe(path)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(("name", "nearest"), [("camvod", "camvid"), ("street", "streets"), ("kitti", "kitti-road")])
def test_an_unknown_recipe_is_told_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(RecipeError, match=f"no recipe '{name}'; expected one of .*did you mean '{nearest}'"):
        load_recipe(name)


def test_every_knob_has_a_docstring() -> None:
    sections = (getattr(field.annotation, "model_fields", {}) for field in Recipe.model_fields.values())
    descriptions = {name: field.description for section in sections for name, field in section.items()}
    assert len(descriptions) > 40
    assert [name for name, text in descriptions.items() if not text] == []


# --- keys that were renamed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", RENAMED_KEYS)
def test_a_recipe_from_before_a_key_was_renamed_still_loads(old: str, tmp_path: Path) -> None:
    section, _, key = old.partition(".")
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{section}:\n  seed: 3\n  {key}: true\n")
    recipe = load_recipe(path)
    assert value(recipe, RENAMED_KEYS[old]) is True
    assert recipe.train.seed == 3
    assert old.partition(".")[2] not in yaml.safe_load(to_yaml(recipe))[section]


@pytest.mark.parametrize("key", ["train.checkpoint", "train.activation_checkpointing"])
@pytest.mark.parametrize("said", ["checkpoint", "activation_checkpointing"])
def test_an_override_counts_by_either_name(key: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"train:\n  {said}: false\n")
    assert load_recipe(path, [f"{key}=true"]).train.activation_checkpointing is True
    assert load_recipe("folder", [f"{key}=true"]).train.activation_checkpointing is True
    assert load_recipe("folder", [f"train={{{said}: true}}"]).train.activation_checkpointing is True


def test_the_recipe_in_an_old_model_file_is_understood() -> None:
    old = Recipe().model_dump(mode="json")
    old["train"]["checkpoint"] = old["train"].pop("activation_checkpointing")
    assert build(old, "model.safetensors") == Recipe()
    assert "checkpoint" in old["train"], "what was given is left as it is"


def test_both_names_of_a_key_are_a_mistake() -> None:
    with pytest.raises(
        RecipeError, match=r"both train\.activation_checkpointing and train\.checkpoint, its former name"
    ):
        build({"train": {"checkpoint": True, "activation_checkpointing": False}}, "mine.yaml")


def test_a_mistake_in_a_renamed_key_is_told_by_its_name_today() -> None:
    with pytest.raises(RecipeError, match=r"train\.activation_checkpointing = 'maybe': expected true or false"):
        load_recipe("folder", ["train.checkpoint=maybe"])


def test_words_of_other_tools_name_knobs_that_there_are() -> None:
    from atonce.recipes import other_tools
    from atonce.recipes.knobs import knob_sections

    known = {knob.name for section in knob_sections() for knob in section.knobs}
    named = {text.partition("|")[0] for text in other_tools._WORDS.values()}
    assert named <= known
    # A word that is ours would never be looked up there.
    ours = {name.rpartition(".")[2] for name in known}
    assert not ours & {*other_tools._WORDS, *other_tools._ELSEWHERE}


def test_steps_alone_decide_what_the_demo_learns() -> None:
    """By minutes, a demo beside other programs would learn less."""
    train = load_recipe("streets").train
    # The share of the run that is done is what the learning rate, the stages and the end go by.
    for seconds in (0.0, 36_000.0):
        assert share_done(train, 525, seconds) == 0.5
    assert (train.steps, train.max_minutes) == (1050, None)
