"""Texts that are given to others, without the names of this machine's folders: of each path its last part remains."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from atonce.model_file import ModelFile
from atonce.text import printable

T = TypeVar("T")

_ADDRESS = r"(?!hf:)[A-Za-z][A-Za-z0-9+.-]+:"
"""An address; a model of a hub is known to everybody by its own."""

_QUERY = re.compile(rf"({_ADDRESS}//[^\s\"'`?#]*)[?#][^\s\"'`,;)\]}}]*")
"""The query of an address: often a signature or a token, by which its owner's files could be read."""

_FROM_HERE = rf"(?:{_ADDRESS}|[A-Za-z]:|~[^\\/\s]*|(?:[^\\/\s\"'=]+[\\/])*\.\.)?[\\/]"
"""The beginning of a path that tells of the machine: an absolute one, one in a home, one that climbs, an address."""

_WHOLE = re.compile(rf"{_FROM_HERE}.*", re.DOTALL)
_WITHIN = re.compile(rf"(?<![^\s\"'`(\[{{,;=]){_FROM_HERE}(?:[^\\/\n\"'`;,]*[\\/])*")
"""The folders of a path in a sentence; their names may have spaces."""


def without_folders(model_file: ModelFile) -> ModelFile:
    """Return a model file whose recipe, data and scores tell nothing of the machine: of each path the last part."""
    return replace(
        model_file,
        recipe=shorten_paths(model_file.recipe),
        training_data=shorten_paths(model_file.training_data),
        scores=shorten_paths(model_file.scores),
    )


def shorten_paths(value: T) -> T:
    """Return data of JSON in which each path that tells of the machine is its last part."""
    shortened: object = value
    if isinstance(value, Mapping):
        shortened = {key: shorten_paths(part) for key, part in value.items()}
    elif isinstance(value, (list, tuple)):
        shortened = [shorten_paths(part) for part in value]
    elif isinstance(value, str):
        shortened = _shorten(value)
    return shortened  # type: ignore[return-value]


def shorten_command(command: str) -> str:
    """Return a command line whose paths are their last parts; "" where its words cannot be told."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    return printable(shlex.join(map(_shorten_word, words)))


def _shorten(text: str) -> str:
    text = _QUERY.sub(r"\1", text)
    # A sentence goes on behind a path; a path alone may end in a slash.
    return _last_part(text) if _WHOLE.fullmatch(text) and " " not in text else _WITHIN.sub("", text)


def _shorten_word(word: str) -> str:
    """Return a word of a command: a path, or an option or a knob that is set to one, shortened."""
    word = _QUERY.sub(r"\1", word)
    for start in (0, *(match.end() for match in re.finditer("=", word))):
        if _WHOLE.fullmatch(word, start):
            return word[:start] + _last_part(word[start:])
    return _WITHIN.sub("", word)


def _last_part(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
