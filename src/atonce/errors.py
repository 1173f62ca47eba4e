"""Mistakes a user can mend. Whoever raises one says what was found, what was expected, what to do.

The same message reaches two readers: one called a Python function, the other typed a command. So a message names an
option by `option("engine", "openvino")`, and each front door writes it in its reader's language:
`engine='openvino'` in Python, `--engine openvino` on the command line.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

# Private-use characters: no message of a file or of a user holds them. The name and the value of an option lie between.
_OPEN, _VALUE, _CLOSE = "\ue000", "\ue001", "\ue002"
_OPTION = re.compile(f"{_OPEN}(.*?){_VALUE}(.*?){_CLOSE}", re.DOTALL)

_PYTHON_NAMES = {
    "set": "overrides",
    "colour": "colours",
    "from": "layout",
    "fix_classes": "atonce.doctor.write_classes_file()",
    "fix_masks": "atonce.doctor.write_fixed_masks()",
    "write_masks": "atonce.doctor.write_masks()",
    "write_split": "atonce.doctor.write_split()",
    "class_weights": "class_weights()",
    "threads": "atonce.set_threads()",
}
"""Options that have another name in Python than on the command line, or are functions there."""

_FROM_THE_ENVIRONMENT = {"token": "ATONCE_TOKEN"}
"""Options that are no flag, since every user of a machine can read its command lines, but a variable."""


def option(name: str, value: object = None) -> str:
    """Mention an option in a message.

    Args:
        name: the Python parameter ("skip_scales"; on the command line --skip-scales).
        value: what it is set to; True for a switch that is on; None to name the option alone.

    Returns:
        Text to be put into a message; `as_python` and `as_command_line` write it out.
    """
    text = "" if value is None else "\0" if value is True else str(value)
    return f"{_OPEN}{name}{_VALUE}{text}{_CLOSE}"


def command(*words: object) -> str:
    """Mention the command whose option comes next, where that is a function in Python: there it is left out.

    Args:
        words: "atonce", "doctor", the path of the data.
    """
    return f"{_OPEN}{_VALUE}{shlex.join(map(str, words))}{_CLOSE}"


def as_python(message: str) -> str:
    """The message with its options as Python parameters: engine='openvino', resume=True, `out`."""

    def write(match: re.Match[str]) -> str:
        name, value = _PYTHON_NAMES.get(match[1], match[1]), match[2]
        if not name:
            return ""
        if value and name.endswith("()"):
            return f"{name[:-1]}..., {value!r})"
        return f"`{name}`" if not value else f"{name}=True" if value == "\0" else f"{name}={value!r}"

    return _OPTION.sub(write, message)


def as_command_line(message: str) -> str:
    """The message with its options as flags: `--engine openvino`, `--resume`, `--out`."""

    def write(match: re.Match[str]) -> str:
        if not match[1]:
            return f"{match[2]} "
        flag, value = _FROM_THE_ENVIRONMENT.get(match[1], "--" + match[1].replace("_", "-")), match[2]
        return flag if value in ("", "\0") else f"{flag} {shlex.quote(value)}"

    return _OPTION.sub(write, message)


# Control codes, ends of lines as any program knows them, and the marks that turn the direction of what follows.
_NOT_IN_A_LINE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    r"""Write a text in one line, its control codes and ends of lines escaped as in Python: "\\n".

    A name may hold any of them, and whoever has given it would otherwise write lines of a message himself.
    """
    return _NOT_IN_A_LINE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


_LONGEST_LINE = 1500
"""Characters of a line of a message: what a file holds may be quoted in it."""


def _bounded(part: str) -> str:
    """Return a part of a message with lines that a person can still read."""
    half = _LONGEST_LINE // 2
    return "\n".join(
        line if len(line) <= _LONGEST_LINE else f"{line[:half]} [...] {line[-half:]}" for line in part.split("\n")
    )


class UserError(Exception):
    """Shown by the command line as one line on stderr, without a traceback; exit code 2.

    Args:
        found: what is there ("mask.png holds the value 200").
        expected: what should be there ("ids 0..10 or 255").
        remedy: what the user can do ("map it in classes.yaml").

    Attributes:
        found, expected, remedy: the same, with options as Python parameters (see `option`).
        parts: the three as they were given, for a message that quotes this one.
        is_told: whether another process of the same call says it.
    """

    is_told = False

    def __init__(self, found: str, expected: str = "", remedy: str = "") -> None:
        self.parts = (found, expected, remedy)
        self.found, self.expected, self.remedy = (self._shown(as_python(part)) for part in self.parts)
        super().__init__(self._shown(as_python(self._message())))

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes send their errors home pickled; the default would pass the message only.
        return (type(self), self.parts)

    def _message(self) -> str:
        found, expected, remedy = self.parts
        parts = [found]
        if expected:
            parts.append(f"expected {expected}")
        if remedy:
            parts.append(remedy)
        return "; ".join(map(_bounded, parts))

    def for_command_line(self) -> str:
        """The message with its options as flags."""
        return self._shown(as_command_line(self._message()))

    def _shown(self, message: str) -> str:
        """Escape what may not stand in a message of one line."""
        return one_line(message)


class DataError(UserError):
    """Pictures, masks, their pairing or their layout."""


class DataErrorOfLines(DataError):
    """A message of several lines: of several problems, or of what would do instead.

    Args:
        found, expected: lines; what they quote is in one line each (`one_line`).
    """

    def _shown(self, message: str) -> str:
        return "\n".join(map(one_line, message.split("\n")))


class RecipeError(UserError):
    """A recipe: unknown key, wrong type, value out of range."""


class WeightsError(UserError):
    """A weights or model file: wrong layout, wrong architecture, broken, missing."""


class TrainingError(UserError):
    """Training cannot go on: loss not finite, nothing to resume, wrong run directory."""


class StorageError(UserError):
    """Writing failed: disk full, folder read-only."""
