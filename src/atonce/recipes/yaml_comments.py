"""Recipes as YAML in which each knob is explained where it stands: meaning and unit, type and range, default."""

from __future__ import annotations

import textwrap

from atonce.recipes.knobs import Knob, knob_sections, yaml_value
from atonce.recipes.schema import Recipe

OWN_COMMENT = "# Here: "
"""The beginning of a comment of the recipe's author on a choice; `annotate` writes all other comments anew."""

_COLUMNS = 80

_HEADER = "The full recipe: every knob with its meaning, and in brackets its type and range and its default."


def to_yaml(recipe: Recipe) -> str:
    """Write the full recipe, defaults included, as YAML with a comment on every knob; `load_recipe` reads it back."""
    values, lines = recipe.model_dump(mode="json"), _comment(_HEADER)
    for section in knob_sections():
        indent, here = "", values
        if section.name:
            indent, here = "  ", values[section.name]
            lines += ["", *_comment(section.meaning), f"{section.name}:"]
        for knob in section.knobs:
            lines += [*_about(knob, indent), f"{indent}{knob.key}: {yaml_value(here[knob.key])}"]
    return "\n".join([*lines, ""])


def annotate(text: str) -> str:
    """Put a comment above every section and knob of a recipe in YAML, in place of those that are there.

    The first line, if it is a comment, stays: it says what the recipe is for. So do comments from `OWN_COMMENT` to
    the key below them. Values are left as they are written. Doing it again changes nothing.

    Args:
        text: a recipe with one key a line, as the shipped ones are.
    """
    sections = {section.name: section for section in knob_sections()}
    lines: list[str] = []
    section, own = sections[""], list[str]()
    for number, line in enumerate(text.splitlines()):
        content = line.strip()
        if number == 0 and content.startswith("#"):
            lines.append(line)
        elif content.startswith("#"):
            own += [content] if own or content.startswith(OWN_COMMENT) else []
        elif content:
            indent = line[: len(line) - len(line.lstrip())]
            key, _, value = content.partition(":")
            if not indent:
                section = sections[""] if value.strip() or key not in sections else sections[key]
                lines += ["", *_comment(section.meaning)] if section.name else []
            lines += [about for knob in section.knobs if knob.key == key for about in _about(knob, indent)]
            lines += [indent + comment for comment in own] + [line]
            own = []
    return "\n".join([*lines, ""])


def _about(knob: Knob, indent: str) -> list[str]:
    return _comment(f"{knob.meaning} ({knob.facts})", indent)


def _comment(text: str, indent: str = "") -> list[str]:
    # A value such as "at-once" is to be found by a search, so no line ends within it.
    return textwrap.wrap(
        text, _COLUMNS, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False
    )
