"""Values that a shell completes after an option. A key press waits for each of these: nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atonce.recipes.knobs import Knob

Completions = list[tuple[str, str]]
"""Values, and a line about each; empty where there is none. Without any, the shell completes names of files."""

ENGINES = ("torch", "torch-bf16", "onnxruntime", "openvino", "openvino-bf16", "auto")
DEVICES = ("cpu", "cuda", "cuda:0", "cuda:1")
SPLITS = ("val", "train", "test", "all")
STUDY_NAMES = (
    "scaling", "schedule", "init", "l2", "freeze", "stride", "optimizer", "loss", "weights", "augmentation"
)  # fmt: skip
"""The names of `atonce.studies.shipped_studies`, which every command would have to import for them; a test compares."""

_ABOUT = 60
"""Characters of the line about a value."""


def complete_recipe(incomplete: str) -> Completions:
    """Complete the names of the recipes that come with the package."""
    from atonce.recipes import shipped_recipes

    return _beginning_with(incomplete, shipped_recipes().items())


def complete_format(incomplete: str) -> Completions:
    """Complete the formats of data."""
    from atonce.data.formats import FORMATS

    return _beginning_with(incomplete, ((name, "") for name in FORMATS))


def complete_study(incomplete: str) -> Completions:
    """Complete the names of the studies that come with the package."""
    from atonce.studies.shipped_studies import STUDIES

    return _beginning_with(incomplete, ((study.name, study.question) for study in STUDIES.values()))


def complete_published_weights(incomplete: str) -> Completions:
    """Complete the names of pretrained weights."""
    from atonce.weights.registry import REGISTRY

    return _beginning_with(incomplete, ((entry.name, entry.about) for entry in REGISTRY.values()))


def complete_weights(incomplete: str) -> Completions:
    """Complete what a network may start from: the names of pretrained weights, or none."""
    return [*complete_published_weights(incomplete), *_beginning_with(incomplete, [("none", "")])]


def complete_engine(incomplete: str) -> Completions:
    """Complete the engines."""
    return _beginning_with(incomplete, ((name, "") for name in ENGINES))


def complete_device(incomplete: str) -> Completions:
    """Complete the names that devices have, whether or not this machine has them: to ask it takes torch's seconds."""
    return _beginning_with(incomplete, ((name, "") for name in DEVICES))


def complete_split(incomplete: str) -> Completions:
    """Complete the splits of a data set."""
    return _beginning_with(incomplete, ((name, "") for name in SPLITS))


def complete_override(incomplete: str) -> Completions:
    """Complete section.key=value: the keys, and the values of one."""
    from atonce.recipes.knobs import knob_sections

    knobs = [knob for section in knob_sections() for knob in section.knobs]
    key, equals, value = incomplete.partition("=")
    if equals:
        return [found for knob in knobs if knob.name == key for found in _complete_value(knob, value)]
    near = [knob for knob in knobs if knob.name.startswith(key)]
    if len(near) == 1 and (values := _complete_value(near[0], "")):
        # Beside values, the key alone is no whole word, which a shell would put a blank behind.
        return values if near[0].choices else [*_beginning_with("", [(f"{near[0].name}=", near[0].meaning)]), *values]
    return _beginning_with("", ((f"{knob.name}=", knob.meaning) for knob in near))


def _complete_value(knob: Knob, value: str) -> Completions:
    """Complete a knob's value: one of its choices, or its default, to be changed; nothing where it may be a path.

    What begins like none of the choices, and what is free, is answered by itself: without an answer the shell would put
    the name of a file there.
    """
    from atonce.data.formats import FORMATS
    from atonce.recipes.knobs import yaml_value

    choices = tuple(FORMATS) if knob.name == "data.format" else knob.choices
    if choices:
        near = [choice for choice in choices if choice.startswith(value)] or [value]
        return [(f"{knob.name}={choice}", "") for choice in near]
    if knob.kind == "null or text":
        return []
    return [(f"{knob.name}={value or yaml_value(knob.default).replace(' ', '')}", knob.kind)]


def _beginning_with(incomplete: str, values: Iterable[tuple[str, str]]) -> Completions:
    return [
        (value, about if len(about) <= _ABOUT else f"{about[: _ABOUT - 3]}...")
        for value, about in values
        if value.startswith(incomplete)
    ]
