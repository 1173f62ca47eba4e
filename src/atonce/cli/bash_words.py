"""Bash's words on a key press, joined again where it breaks them in two: at = and :, as in optim.name=adam and cuda:1.

The script that bash was given hands over the words as bash breaks them (COMP_WORDBREAKS), by which no option's value is
recognised, and puts what comes back in the place of the last part alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

_BREAKS = frozenset("=:")
"""Those of bash's breaks that words of commands have within them; the others are a shell's own signs and quotes."""


@contextmanager
def joined_words() -> Iterator[None]:
    """Join the words that bash asks about, and leave out of the answers what stands before their last part.

    Where it is not bash that asks, nothing happens.
    """
    words = os.environ.get("COMP_WORDS", "").split("\n")
    if os.environ.get("_ATONCE_COMPLETE") != "complete_bash" or len(words) == 1:
        yield
        return
    whole, before = join(words[: int(os.environ["COMP_CWORD"]) + 1])
    os.environ |= {"COMP_WORDS": "\n".join(whole), "COMP_CWORD": str(len(whole) - 1)}
    answers = StringIO()
    try:
        with redirect_stdout(answers):
            yield
    finally:
        sys.stdout.write("".join(f"{line.removeprefix(before)}\n" for line in answers.getvalue().splitlines()))


def join(words: list[str]) -> tuple[list[str], str]:
    """Join what bash has broken; returns the words, and what stands before the last part of the last one.

    An empty last word is one of its own: behind a break without a blank, bash gives the break itself.
    """
    whole: list[str] = []
    before, behind_break = "", False
    for word in words:
        is_break = bool(word) and _BREAKS.issuperset(word)
        if whole and word and (is_break or behind_break):
            whole[-1] += word
        else:
            whole.append(word)
        before = whole[-1] if is_break else whole[-1].removesuffix(word) if word else ""
        behind_break = is_break
    return whole, before
