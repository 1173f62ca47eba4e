"""Values that a shell completes after an option. A key press waits for each of these: nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
    """Complete section.key=value: the keys, and the values of one that has choices."""
    from atonce.recipes.knobs import Knob, knob_sections

    def choices(knob: Knob) -> Iterator[tuple[str, str]]:
        yield from ((f"{knob.name}={value}", "") for value in knob.choices)

    knobs = [knob for section in knob_sections() for knob in section.knobs]
    key, equals, _ = incomplete.partition("=")
    near = [knob for knob in knobs if (knob.name == key if equals else knob.name.startswith(key))]
    if len(near) == 1 and near[0].choices:
        return _beginning_with(incomplete, choices(near[0]))
    return _beginning_with(incomplete, ((f"{knob.name}=", knob.meaning) for knob in near))


def _beginning_with(incomplete: str, values: Iterable[tuple[str, str]]) -> Completions:
    return [
        (value, about if len(about) <= _ABOUT else f"{about[: _ABOUT - 3]}...")
        for value, about in values
        if value.startswith(incomplete)
    ]
