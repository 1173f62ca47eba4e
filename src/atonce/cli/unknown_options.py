"""The answer to an option that a command does not have: whose it is, what it is called here, or what is near."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from atonce.errors import one_line
from atonce.text import listing

_NEAR = 0.75
"""The likeness of names, their dashes left out, from which on one is the other mistyped; see
`difflib.get_close_matches`."""

_SAME_AS_OPTIONS = ("", "data", "train")
"""Sections of a recipe whose knobs mean what options of the same name do."""


def unknown_option_line(name: str, context: Any) -> str:
    """Say that a command has no such option, and what to type instead, as far as that can be told.

    Args:
        name: the option as it was typed, with its dashes.
        context: typer's, of the command; None where there is none.
    """
    said = f"No such option: {one_line(name)}"
    if context is None or not name.startswith("--"):
        return said
    own = _options_of(context.command, context)
    owners = [command for command, options in _commands(context.find_root()) if name in options]
    whose = f"an option of {_all_of(owners)}" if owners else ""
    answers = [answer for answer in (whose, _as_knobs(name, own)) if answer]
    return f"{said} is {', and '.join(answers)}" if answers else f"{said}{_near_names(name, own)}"


def _near_names(name: str, own: list[str]) -> str:
    """A question for the options of a command that are near a name, or begin with it, or it with them."""
    bare = {option.lstrip("-"): option for option in own if option.startswith("--")}
    word = name.lstrip("-")
    near = difflib.get_close_matches(word, bare, 2, _NEAR)
    near = near or [other for other in bare if len(word) > 2 and (word.startswith(other) or other.startswith(word))]
    return f"; did you mean {' or '.join(bare[other] for other in near[:2])}?" if near else ""


def _as_knobs(name: str, own: list[str]) -> str:
    """Write what sets the knobs that a name, or a word of other tools, stands for; empty where there is none."""
    from atonce.recipes.knobs import knob_sections
    from atonce.recipes.other_tools import no_knob_for, renamed_knob

    word = name.lstrip("-").replace("-", "_").lower()
    all_knobs = [knob.name for section in knob_sections() for knob in section.knobs]
    knobs = [knob for knob in all_knobs if word in (knob, knob.replace(".", "_"), knob.rpartition(".")[2])]
    remark = ""
    if not knobs and (found := renamed_knob(word)):
        knobs, remark = [found[0]], f" ({found[1]})" if found[1] else ""
    for knob in knobs:
        section, _, key = knob.rpartition(".")
        option = f"--{key.replace('_', '-')}"
        if section in _SAME_AS_OPTIONS and option in own and option != name:
            return f"{option} here{remark}"
    if knobs:
        whose = "here" if "--set" in own else "of train"
        return f"{' or '.join(f'`--set {knob}=...`' for knob in knobs)} {whose}{remark}"
    return (no_knob_for(word) or "") if "--set" in own else ""


def _all_of(names: list[str]) -> str:
    """List some names, or their first three: "a, b and c", "a, b, c and 4 more"."""
    return listing(names, 3) if len(names) > 4 else " and ".join([", ".join(names[:-1]), names[-1]][len(names) < 2 :])


def _commands(root: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield the names of all commands, and their options; the application itself is the last."""

    def below(group: Any, name: str) -> Iterator[tuple[str, list[str]]]:
        for key in group.list_commands(root):
            command, path = group.get_command(root, key), f"{name}{key}"
            if hasattr(command, "list_commands"):
                yield from below(command, f"{path} ")
            yield path, _options_of(command, root)

    yield from below(root.command, "")
    yield "atonce itself", _options_of(root.command, root)


def _options_of(command: Any, context: Any) -> list[str]:
    return [name for one in command.get_params(context) for name in (*one.opts, *one.secondary_opts) if name[:1] == "-"]
