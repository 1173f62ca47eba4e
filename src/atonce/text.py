"""Text for people: counting and listing in sentences ("1 picture", "a, b and 3 more"), and what may be printed."""

from __future__ import annotations

import difflib
import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path


def count_of(number: float, noun: str, plural: str = "") -> str:
    """A number and what it counts: "1 picture", "2 pictures", "3 classes", "0.5 minutes".

    Args:
        plural: where it is not the noun with an s.
    """
    shown = f"{number:g}" if isinstance(number, float) else number
    return f"{shown} {noun if number == 1 else plural or noun + 's'}"


def duration_text(seconds: float) -> str:
    """A time in words, which nobody takes for that of a clock: "42 s", "16 min 28 s", "2 h 05 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def listing(names: Iterable[object], limit: int = 5, separator: str = ", ") -> str:
    """The first few names, and how many more there are: "a, b, c and 12 more"."""
    texts = [str(name) for name in names]
    rest = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return separator.join(texts[:limit]) + rest


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A question that names the nearest of the known names; empty where none is near.

    Args:
        cutoff: how alike they must be, 0..1; see `difflib.get_close_matches`.
    """
    near = difflib.get_close_matches(name, list(known), 1, cutoff)
    return f"did you mean '{near[0]}'?" if near else ""


def distinct_names(names: Sequence[str], key: Callable[[str], str] = str) -> list[str]:
    """Make names different that have become alike: one that is no other's stays, of the others the number is added.

    Args:
        key: what of a name has to differ from the others'.

    Returns:
        A name for each, in their order; the same for the same names; none of them is empty.
    """
    counts = Counter(map(key, names))
    taken = {key(name) for name in names if name and counts[key(name)] == 1}
    found = []
    for index, name in enumerate(names):
        if not (name and counts[key(name)] == 1):
            name = f"{name}_{index}"
            while key(name) in taken:
                name = f"{name}_{index}"
            taken.add(key(name))
        found.append(name)
    return found


_HELD, _QUOTED = "\ue003", "\ue004"
"""Private characters that stand for a space where no line is to be broken: between words of a command, within one."""

_WORD = r"(?:'[^']*'|[^\s'`;,])+"
_COMMAND = re.compile(rf"`atonce [^`\n]+`|\batonce [a-z]+ {_WORD} --[a-z-]+ {_WORD}")
"""A command in a text: between backticks, or with one argument and an option."""


def wrapped(text: str, width: int, indent: int | None = None) -> str:
    """Break lines between words, so that a terminal does not break them within; longer words stay whole.

    A command stays in one line, to be copied; one that is longer than a line is broken as a shell takes it, by
    backslashes.

    Args:
        width: columns of the terminal; 0 leaves the text as it is.
        indent: columns that are left free where a line goes on; None for two more than are free at its beginning.
    """
    if not width:
        return text
    lines: list[str] = []
    for line in text.split("\n"):
        further = " " * (len(line) - len(line.lstrip(" ")) + 2 if indent is None else indent)
        filled = textwrap.fill(
            _COMMAND.sub(_held_together, line),
            width,
            subsequent_indent=further,
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
        )
        for part in filled.split("\n"):
            lines += _broken_by_backslashes(part, width, further) if len(part) > width else [part]
    return "\n".join(lines).replace(_HELD, " ").replace(_QUOTED, " ")


def _held_together(command: re.Match[str]) -> str:
    """Put stand-ins for the spaces of a command: one between its words, another one within quotes."""
    parts = re.split(r"('[^']*')", command[0])
    return "".join(part.replace(" ", _QUOTED if part.startswith("'") else _HELD) for part in parts)


def _broken_by_backslashes(line: str, width: int, indent: str) -> list[str]:
    """Break a line where a command in it has spaces, each part but the last with a backslash at its end."""
    first, *words = line.split(_HELD)
    lines = [first]
    for word in words:
        if len(lines[-1]) + len(word) + 3 <= width:
            lines[-1] += f" {word}"
        else:
            lines[-1] += " \\"
            lines.append(f"{indent}  {word}")
    return lines


def with_command(text: str, words: Iterable[str], width: int) -> str:
    """Put a command behind a text, to be copied: in its line where there is room, else below it, where lines that go
    on end with a backslash, as a shell takes them.

    Args:
        text: what the command is for, up to a colon.
        words: the command's.
        width: columns of the terminal; 0 leaves all in one line.
    """
    quoted = [shlex.quote(word) for word in words]
    line = f"{text} {' '.join(quoted)}"
    if not width or len(line) <= width:
        return line
    lines, indent, ending = [quoted[0]], "    ", 2
    for word in quoted[1:]:
        if len(indent) + len(lines[-1]) + 1 + len(word) + ending <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    below = f" \\\n{indent}".join(lines)
    return f"{text}\n{indent}{below}"


def readable_name(name: str) -> str:
    """Write the bytes of a file's name that are no UTF-8 as %E9: Python holds them as characters that no text may."""
    return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in name)


def similar_file(path: Path) -> str:
    """A question that names the file beside a path that does not exist whose name is the nearest; empty where none is
    near: "did you mean weights/vgg16.pth?"."""
    try:
        near = difflib.get_close_matches(path.name, [there.name for there in path.parent.iterdir()], 1, 0.8)
    except OSError:
        return ""
    return f"did you mean {path.with_name(near[0])}?" if near else ""


# Control codes but for tabs and line ends, and the marks that turn the direction of what follows.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""The text with control codes escaped as in Python, so that a terminal does not obey them: "\x1b"."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def words_of(error: BaseException, limit: int = 200) -> str:
    """Write what an error of a library says on one line: of a long text the words that fit, each whole, addresses too.

    The name of its kind where it says nothing.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if len(text) <= limit:
        return text
    fitting = text[: limit - 3].rpartition(" ")[0]
    # One word that fills the limit is cut all the same.
    return f"{fitting} ..." if fitting else f"{text[: limit - 3]}..."


def shortened(value: object, limit: int = 120) -> str:
    """The text that Python writes for a value; of a long one the beginning and the end."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of more than 4300 digits
        text = f"a very long {type(value).__name__}"
    return text if len(text) <= limit else f"{text[: limit - 23]}...{text[-20:]}"
