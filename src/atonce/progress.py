"""Progress bars on stderr, in a terminal or a notebook; drawn for whoever asks for one, never by themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from atonce.text import printable

ProgressCallback = Callable[[int, int], None]
"""Called with what is done and what there is to do, in pictures, frames, tiles or bytes; 0 to do where nobody knows."""


class PrintableConsole(Console):
    """A console that obeys no control code in the text it is given; its own ones colour and draw."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Turn something into pieces of text, all of them printable."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


console = PrintableConsole(stderr=True, quiet=os.environ.get("LOCAL_RANK", "0") != "0")
"""Progress and notes; silent in all processes of a machine but the first."""


def progress_bars() -> Progress:
    """Bars that are there on a terminal and in a notebook only."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    seen = console.is_terminal or console.is_jupyter
    return Progress(*columns, TextColumn("{task.fields[about]}"), console=console, disable=not seen)


@contextmanager
def progress_bar(what: str) -> Iterator[ProgressCallback]:
    """One bar, which moves when it is called with (done, total)."""
    with progress_bars() as progress:
        task = progress.add_task(what, about="")
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def shown_as(what: str, progress: bool | ProgressCallback) -> Iterator[ProgressCallback | None]:
    """Open what a caller asked for by a `progress` parameter.

    Args:
        what: the text before the bar.
        progress: True draws a bar, False nothing; a function is called with (done, total).
    """
    if progress is True:
        with progress_bar(what) as bar:
            yield bar
    else:
        yield progress or None
