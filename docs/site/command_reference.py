"""The page of every option: each command with its arguments and options as text, made from the commands themselves.

What a terminal shows in a box of its own width is a list of terms here, which any width of a window holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import typer
from page_titles import rst_link, with_page_links

_HELP = {"--help", "--install-completion", "--show-completion"}
"""Options that are explained once."""


def reference() -> str:
    """Write a section for each command, as reStructuredText."""
    from atonce import cli

    for module in iter_modules(cli.__path__):
        import_module(f"atonce.cli.{module.name}")
    group = typer.main.get_command(cli.app)
    return "\n".join(_sections(group, "atonce", None))


def _sections(command: Any, words: str, parent: Any) -> Iterator[str]:
    context = typer.Context(command, info_name=words.rpartition(" ")[2], parent=parent)
    nested = getattr(command, "commands", {})
    if parent is not None:
        yield from [words, "-" * len(words), ""]
        for paragraph in (command.help or "").split("\n\n"):
            yield from [_text(paragraph), ""]
        if not nested:
            usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
            usage = re.sub(r"\{(\w+)\}|\[(\[.*\]|[a-z]+)\]", lambda m: m[1].upper() if m[1] else _optional(m[2]), usage)
            yield from ["::", "", f"   {usage}", ""]
            for parameter in command.params:
                yield from _entry(parameter, context)
            yield ""
    for name in command.list_commands(context) if nested else ():
        if not nested[name].hidden:
            yield from _sections(nested[name], f"{words} {name}", context)


def _optional(name: str) -> str:
    """An argument that may be left out, in brackets."""
    return name if name.startswith("[") else f"[{name.upper()}]"


def _entry(parameter: Any, context: Any) -> Iterator[str]:
    """One argument or option: its names, and what it means below them."""
    record = parameter.get_help_record(context)
    if record is None or _HELP & {*parameter.opts}:
        return
    names, meaning = record
    if parameter.param_type_name == "argument":
        names = names.replace(parameter.name, parameter.name.upper(), 1)
    yield f"``{names.replace(' range>', '>')}``"
    yield f"   {_text(' '.join(meaning.split()))}"


def _text(text: str) -> str:
    """Text whose marks are characters, but for what stands in backticks, and with links to the pages that it names."""
    # Two dashes of an option would be set as one long one.
    options = re.sub(r"(?<![\w`-])--[a-z][\w-]*(?!`)", r"`\g<0>`", " ".join(text.split()))
    parts = re.split(r"(`[^`]+`)", options)
    escaped = (f"`{part}`" if part.startswith("`") else re.sub(r"([\\*|_`])", r"\\\1", part) for part in parts)
    return with_page_links("".join(escaped), rst_link)
