"""Studies: named variants of a recipe, the baseline first; those that are shipped, and reading one from a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atonce.errors import RecipeError
from atonce.recipes import Recipe
from atonce.recipes.recipe_files import build, current_name
from atonce.text import did_you_mean, shortened
from atonce.yaml_loader import YamlProblem, parse_yaml, read_yaml

Overrides = Mapping[str, Any]
"""Changes to a recipe: "section.key" -> value."""

_FOLDER_NAME = re.compile(r"[\w][\w.+=-]*")
_LAYOUT = "name: ... and variants: {name: {section.key: value}}, the baseline first"


@dataclass(frozen=True)
class Study:
    """Variants of a recipe that are to be compared.

    Attributes:
        question: what the comparison is to answer.
        variants: name -> what it changes; the first is the baseline, with which the others are compared.
    """

    name: str
    question: str
    variants: Mapping[str, Overrides]

    @property
    def baseline(self) -> str:
        """The name of the variant that the others are compared with."""
        return next(iter(self.variants))

    def recipes(self, base: Recipe) -> dict[str, Recipe]:
        """Build each variant's full recipe. Raises RecipeError: an unknown key, a value out of range."""
        return {
            name: _with_overrides(base, overrides, f"{self.name}, variant '{name}'")
            for name, overrides in self.variants.items()
        }


# Decoupled decay would hide what the L2 term does.
_NO_DECAY = {"optim.weight_decay": 0.0}
# Recipes may have another loss beside it.
_CROSS_ENTROPY_ALONE = {
    "loss.cross_entropy": 1.0,
    "loss.dice": 0.0,
    "loss.lovasz": 0.0,
    "loss.focal": 0.0,
    "loss.label_smoothing": 0.0,
}

STUDIES: Mapping[str, Study] = {
    study.name: study
    for study in (
        Study(
            "scaling",
            "Should pool4 and pool3 be scaled before they are scored, and by what?",
            {
                "at-once": {"model.skip_scales": "at-once"},
                "unit": {"model.skip_scales": "unit"},
                "calibrate": {"model.skip_scales": "calibrate"},
            },
        ),
        Study(
            "schedule",
            "Is it worth training FCN-32s, then 16s, then 8s, instead of all at once, with as many steps in all?",
            {
                "at-once": {"schedule": "at-once"},
                "staged": {"schedule": "staged", "model.skip_scales": "unit"},
                # The paper's learning rates were made for unscaled skips and SGD; these are stages without them.
                "staged-gentle": {
                    "schedule": "staged",
                    "model.skip_scales": "calibrate",
                    "stages.lr_factors": [1.0, 0.5, 0.25],
                },
            },
        ),
        Study(
            "init",
            "How should the score layers start?",
            {
                "zeros": {"model.score_init": "zeros"},
                "normal-0.01": {"model.score_init": "normal", "model.score_init_sigma": 0.01},
                "normal-0.001": {"model.score_init": "normal", "model.score_init_sigma": 0.001},
                "glorot": {"model.score_init": "glorot"},
            },
        ),
        Study(
            "l2",
            "What is the L2 term worth, and what if it is declared but never added to the loss?",
            {
                "none": {"loss.l2": 0.0, **_NO_DECAY},
                "5e-4": {"loss.l2": 5e-4, **_NO_DECAY},
                "1e-3": {"loss.l2": 1e-3, **_NO_DECAY},
                "declared-only": {"loss.l2": 5e-4, "loss.l2_added": False, **_NO_DECAY},
            },
        ),
        Study(
            "freeze",
            "Should the pretrained trunk be trained?",
            {"trained": {"model.freeze_trunk": False}, "frozen": {"model.freeze_trunk": True}},
        ),
        Study(
            "stride",
            "What do the skips add?",
            {"32s": {"model.stride": 32}, "16s": {"model.stride": 16}, "8s": {"model.stride": 8}},
        ),
        Study(
            "optimizer",
            "Which optimiser learns faster? At one rate: Muon's steps have the size of AdamW's.",
            {
                "adamw": {"optim.name": "adamw", "optim.momentum": 0.9},
                "muon": {"optim.name": "muon", "optim.momentum": 0.95},
            },
        ),
        Study(
            "loss",
            "Do losses made for overlap, hard pixels or soft labels beat the cross entropy alone?",
            {
                "cross-entropy": _CROSS_ENTROPY_ALONE,
                "dice": _CROSS_ENTROPY_ALONE | {"loss.dice": 0.5},
                "lovasz": _CROSS_ENTROPY_ALONE | {"loss.lovasz": 0.5},
                "focal": _CROSS_ENTROPY_ALONE | {"loss.cross_entropy": 0.0, "loss.focal": 1.0},
                "smoothed": _CROSS_ENTROPY_ALONE | {"loss.label_smoothing": 0.1},
            },
        ),
        Study(
            "weights",
            "Are class weights worth it, and should what they add be taken out of the network's logits again?",
            {
                "none": {"loss.class_weights": "none"},
                "weighted": {"loss.class_weights": "sqrt-median-frequency", "loss.logit_adjustment": 0.0},
                "adjusted": {"loss.class_weights": "sqrt-median-frequency", "loss.logit_adjustment": 1.0},
            },
        ),
        Study(
            "augmentation",
            "Which augmentation is worth its steps?",
            {
                "recipe": {},
                "zoomed": {"augment.scale": [0.5, 2.0]},
                "rotated": {"augment.rotate": 5.0},
                "stronger-colours": {
                    "augment.brightness": 0.4,
                    "augment.contrast": 0.4,
                    "augment.saturation": 0.4,
                    "augment.hue": 0.05,
                },
                "balanced-crops": {"augment.balanced_crops": 0.5},
            },
        ),
    )
}


def load_study(source: str) -> Study:
    """Load a shipped study by its name, or a study from a YAML file.

    Raises:
        RecipeError: no such study, broken YAML, another layout, names that cannot be folders.
    """
    path = Path(source)
    if path.suffix in {".yaml", ".yml"}:
        return _read(path)
    if source not in STUDIES:
        hint = did_you_mean(source, STUDIES)
        raise RecipeError(f"no study '{source}'", f"one of {', '.join(STUDIES)}, or a .yaml file", hint)
    return STUDIES[source]


def _read(path: Path) -> Study:
    try:
        data = read_yaml(path)
    except YamlProblem as error:
        raise RecipeError(f"{path} is not valid YAML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read ({error})", "a study: YAML, text in UTF-8") from None
    known = {"name", "question", "variants"}
    if not isinstance(data, dict) or not set(data) <= known or not isinstance(data.get("variants"), dict):
        found = f" with {', '.join(map(str, data))}" if isinstance(data, dict) else ""
        raise RecipeError(f"{path}{found} is not a study", _LAYOUT)
    name = str(data.get("name", path.stem))
    variants = {str(key): _overrides(value, f"{path}, variant '{key}'") for key, value in data["variants"].items()}
    wrong = [text for text in (name, *variants) if not _FOLDER_NAME.fullmatch(text)]
    if wrong:
        raise RecipeError(f"{path}: '{wrong[0]}' cannot be a folder's name", "letters, digits and . _ + = -")
    if len(variants) < 2:
        raise RecipeError(f"{path} has {len(variants)} variants", "two or more, the baseline first")
    return Study(name, str(data.get("question", "")), variants)


def _overrides(value: Any, where: str) -> Overrides:
    """Read a mapping, a list of section.key=value, or nothing, which leaves the recipe as it is."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, list) and all(isinstance(item, str) and "=" in item for item in value):
        pairs = [item.split("=", 1) for item in value]
        try:
            return {key.strip(): parse_yaml(text) for key, text in pairs}
        except YamlProblem as error:
            raise RecipeError(f"{where}: a value is not valid YAML: {error}") from None
    raise RecipeError(f"{where} is {shortened(value)}", "section.key: value, or a list of section.key=value")


def _with_overrides(base: Recipe, overrides: Overrides, where: str) -> Recipe:
    data = base.model_dump(mode="json")
    for key, value in overrides.items():
        *sections, last = current_name(key).split(".")
        below = data
        for section in sections:
            below = below.setdefault(section, {})
            if not isinstance(below, dict):
                raise RecipeError(f"{where}: '{section}' of {key} is not a section of the recipe")
        below[last] = value
    return build(data, where)
