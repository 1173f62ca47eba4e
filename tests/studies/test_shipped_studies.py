"""Which variants there are, and that a mistake in one is found before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from atonce.errors import RecipeError
from atonce.recipes import load_recipe
from atonce.recipes.recipe_files import shipped_recipes
from atonce.studies import STUDIES, load_study, plan_runs
from tests.tiny import tiny_recipe


def written(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.parametrize("base", ["tiny", *shipped_recipes()])
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_makes_recipes_that_differ(name: str, base: str) -> None:
    """Whatever a recipe has already: one with Lovász made two variants of the study of losses the same."""
    recipes = load_study(name).recipes(tiny_recipe() if base == "tiny" else load_recipe(base))
    assert len(recipes) >= 2
    texts = [recipe.model_dump_json() for recipe in recipes.values()]
    assert len(set(texts)) == len(texts)


def test_baselines_come_first() -> None:
    baselines = {name: study.baseline for name, study in STUDIES.items()}
    assert baselines == {
        "scaling": "at-once",
        "schedule": "at-once",
        "init": "zeros",
        "l2": "none",
        "freeze": "trained",
        "stride": "32s",
        "optimizer": "adamw",
        "loss": "cross-entropy",
        "weights": "none",
        "augmentation": "recipe",
    }


def test_a_study_of_ones_own(tmp_path: Path) -> None:
    text = """
    name: rates
    variants:
      base:
      higher: {optim.lr: 0.01}
      listed: [optim.lr=1e-5, "loss.class_weights=none"]
    """
    study = load_study(written(tmp_path / "mine.yaml", text))
    recipes = study.recipes(tiny_recipe())
    assert (study.name, study.baseline) == ("rates", "base")
    assert recipes["base"] == tiny_recipe()
    assert recipes["higher"].optim.lr == 0.01
    assert (recipes["listed"].optim.lr, recipes["listed"].loss.class_weights) == (1e-5, "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variants: {a: , b: {model.strid: 8}}", "variant 'b': unknown key 'model.strid', did you mean 'model.stride'"),
        ("variants: {a: , b: {model.stride: 7}}", "variant 'b': model.stride = 7"),
        ("variants: {a: , b: {schedule.x: 7}}", "'schedule' of schedule.x is not a section"),
        ("variants: {a: , b: 7}", "variant 'b' is 7; expected section.key: value"),
        ("variants: {a: }", "has 1 variants; expected two or more"),
        ("variants: {a: , ../b: }", "'../b' cannot be a folder's name"),
        ("variants: [a, b]", "is not a study; expected name"),
        ("variantes: {a: , b: }", "with variantes is not a study"),
        ("{", "is not valid YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        plan_runs(load_study(written(tmp_path / "mine.yaml", text)), tiny_recipe(), 2, tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_no_such_study(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no study 'scalin'; expected one of scaling.*did you mean 'scaling'"):
        load_study("scalin")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_study(str(tmp_path / "none.yaml"))


def test_runs_are_planned_seed_by_seed(tmp_path: Path) -> None:
    planned = plan_runs(load_study("freeze"), tiny_recipe("train.seed=5"), 2, tmp_path)
    assert [(run.variant, run.seed) for run in planned] == [
        ("trained", 5),
        ("frozen", 5),
        ("trained", 6),
        ("frozen", 6),
    ]
    assert [run.recipe.train.seed for run in planned] == [5, 5, 6, 6]
    assert planned[-1].folder == tmp_path / "frozen" / "seed-6"
