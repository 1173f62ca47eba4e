"""Progress on stderr, for whoever asks for it: bars in a terminal or a notebook, now and then a line elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, Literal

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.segment import Segment
from rich.table import Column
from rich.text import Text

from atonce.text import printable

ProgressCallback = Callable[[int, int], None]
"""Called with what is done and what there is to do, in pictures, frames, tiles or bytes; 0 to do where nobody knows."""

Unit = Literal["", "MB"]
"""The unit of the counts beside a bar: none, or megabytes, where what is counted is bytes."""


class PrintableConsole(Console):
    """A console that obeys no control code in the text it is given; its own ones colour and draw."""

    @property
    def file(self) -> IO[str]:
        """The stream that rich's own codes are written to, as they are.

        While a bar is drawn, rich puts a proxy of its own before stderr, and looks behind one proxy only: the one that
        makes text printable would be left, and escape what draws the bar.
        """
        stream = super().file
        while (behind := getattr(stream, "rich_proxied_file", None)) is not None:
            stream = behind
        return stream

    @file.setter
    def file(self, stream: IO[str]) -> None:
        self._file = stream

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Turn something into pieces of text, all of them printable."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


def terminal_columns(console: Console) -> int:
    """Return the columns of the terminal that a console writes to; 0 where it is none, whose reader breaks lines."""
    return console.width if console.is_terminal else 0


console = PrintableConsole(stderr=True, quiet=os.environ.get("LOCAL_RANK", "0") != "0")
"""Progress and notes; silent in all processes of a machine but the first."""

_NAME, _NARROWEST_BAR, _WIDEST_BAR = 10, 10, 40
"""Columns that are left to names and bars."""

_ECHO = 2
"""Columns that are left free behind a bar: a terminal writes ^C there. For want of room it would write it into the next
line, and rich would then clear that one instead of the bar's."""


@dataclass(frozen=True)
class _NarrowedBars:
    """Bars that leave the last columns of the terminal free."""

    bars: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Draw the bars in the columns that are left to them."""
        yield from console.render(self.bars, options.update_width(max(1, options.max_width - _ECHO)))


class _NarrowProgress(Progress):
    """rich's bars, narrowed."""

    def get_renderable(self) -> RenderableType:
        """Return the bars as they are now."""
        return _NarrowedBars(super().get_renderable())


_FIRST_LINE, _LINE_EVERY = 5.0, 60.0
"""Seconds after which the progress of one thing is a line where no bar is seen, and from each line to the next."""


_FOUND_DONE = 1.0
"""Seconds from a bar's beginning in which what is done was done before: results of an earlier call, told at once."""


class _Pace:
    """The pace of some work: what is done in a second, on average since it began.

    Args:
        now: the time of the beginning.
        done: what is done by then.
    """

    def __init__(self, now: float, done: float) -> None:
        self._began = self._counted_from = self._at = now
        self._before = self._done = done

    def move(self, now: float, done: float) -> None:
        """Take what is done by now."""
        if now - self._began < _FOUND_DONE:
            self._counted_from, self._before = now, done
        self._at, self._done = now, done

    @property
    def per_second(self) -> float | None:
        """The things done in a second until the last step; None where nothing tells yet."""
        seconds = self._at - self._counted_from
        return (self._done - self._before) / seconds if seconds > 0 and self._done > self._before else None

    def seconds_left(self, now: float, total: float) -> float | None:
        """Return the time that the rest takes at that pace, less what has passed since the last step."""
        if self.per_second is None:
            return None
        return max(0.0, (total - self._done) / self.per_second - (now - self._at))


class ProgressBars:
    """Named bars, one below the other; each appears when it is first drawn, and fits the width of the terminal.

    Where no bar is seen, as in a log file, what takes long is told by a line now and then.

    Args:
        first_line: seconds until the first of these.
    """

    def __init__(self, progress: Progress, first_line: float = _FIRST_LINE) -> None:
        self._progress, self._first_line = progress, first_line
        self._tasks: dict[str, TaskID] = {}
        self._next_line: dict[str, float] = {}
        self._paces: dict[str, _Pace] = {}

    @property
    def shown(self) -> bool:
        """True on a terminal and in a notebook."""
        return not self._progress.disable

    def draw(
        self,
        name: str,
        done: float,
        total: float,
        *,
        about: Sequence[str] | Callable[[], Sequence[str]] | None = None,
        unit: Unit = "",
    ) -> None:
        """Draw a bar.

        Args:
            name: the text before it; the same name is the same bar.
            done: what is done.
            total: what there is to do; 0 where nobody knows.
            about: texts behind the bar, the most important first: as many of them as fit; or a function that returns
                them as they are at the moment, from another thread; None for the counts and the time that is left.
            unit: of the counts.
        """
        if not self.shown and about is None:
            self._tell(name, done, total, unit)
        # Where no total is given, rich takes 100.
        known = total or None
        text: Callable[[], str] | None = None
        if about is not None:
            text = partial(self._fitting, name, about)
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=known, about=text, unit=unit, pace=None)
        if total or done:
            now = time.monotonic()
            self._paces.setdefault(name, _Pace(now, done)).move(now, done)
        self._progress.update(self._tasks[name], completed=done, total=known, about=text, pace=self._paces.get(name))

    def _tell(self, name: str, done: float, total: float, unit: Unit) -> None:
        """Print a line where it is time for one."""
        now = time.monotonic()
        due = self._next_line.setdefault(name, now + self._first_line)
        if now < due or not done or done >= total > 0:
            return
        self._next_line[name] = now + _LINE_EVERY
        self._progress.console.print(
            f"{name}: {_counts(done, total, unit)}", highlight=False, markup=False, soft_wrap=True
        )

    def remove(self, name: str) -> None:
        """Remove a bar, if it is there."""
        self._next_line.pop(name, None)
        self._paces.pop(name, None)
        if name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))

    def clear(self) -> None:
        """Remove all bars."""
        for name in tuple(self._tasks):
            self.remove(name)

    def _fitting(self, name: str, about: Sequence[str] | Callable[[], Sequence[str]]) -> str:
        parts = about() if callable(about) else about
        names = max(_NAME, *map(len, (name, *tuple(self._tasks))))
        columns = self._progress.console.width - names - _NARROWEST_BAR - 3 - _ECHO
        text = ""
        for part in parts:
            longer = f"{text}  {part}" if text else part
            if len(longer) > columns:
                break
            text = longer
        return text


_SCALE: dict[Unit, tuple[float, str]] = {"": (1, ""), "MB": (1e-6, " MB")}
"""Factor and name of each unit."""


def _counts(done: float, total: float, unit: Unit) -> str:
    """Write how much is done of how much: "120/760", "3/96 MB", "3 MB" where nobody knows how much there is."""
    factor, name = _SCALE[unit]
    return f"{done * factor:.0f}" + (f"/{total * factor:.0f}" if total else "") + name


class _CountsOrText(ProgressColumn):
    """The text of a bar; where there is none: how much is done of how much, how much in a second, the time left."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        if (about := task.fields["about"]) is not None:
            return Text(about())
        counts = _counts(task.completed, task.total or 0, task.fields["unit"])
        if task.total is None:
            return Text(counts if task.completed else "")
        # rich's own pace is that of the last few steps, and of two that end together it makes hundreds a second.
        pace: _Pace | None = task.fields["pace"]
        if pace is None or pace.per_second is None:
            return Text(counts)
        factor, unit = _SCALE[task.fields["unit"]]
        counts += f"  {_three_digits(pace.per_second * factor)}{unit}/s"
        left = pace.seconds_left(time.monotonic(), task.total)
        return Text(counts if left is None or task.finished else f"{counts}  {clock_text(left)} left")


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def clock_text(seconds: float) -> str:
    """Write a time as a clock shows it: "1:45", "1:02:45"."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


@contextmanager
def progress_bars(first_line: float = _FIRST_LINE) -> Iterator[ProgressBars]:
    """Open bars, which are seen on a terminal and in a notebook only; `first_line` as in `ProgressBars`.

    What is stopped or fails leaves none.
    """
    seen = console.is_terminal or console.is_jupyter
    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(max_width=_WIDEST_BAR)),
        _CountsOrText(table_column=Column(no_wrap=True)),
    )
    with _NarrowProgress(*columns, console=console, disable=not seen) as progress:
        bars = ProgressBars(progress, first_line)
        try:
            yield bars
        except BaseException:
            # A bar that stands still would say that something goes on.
            bars.clear()
            raise


@contextmanager
def progress_bar(what: str, *, unit: Unit = "", first_line: float = _FIRST_LINE) -> Iterator[ProgressCallback]:
    """One bar, which moves when it is called with (done, total); `first_line` as in `ProgressBars`."""
    with progress_bars(first_line) as bars:
        bars.draw(what, 0, 0, unit=unit)
        yield lambda done, total: bars.draw(what, done, total, unit=unit)


@contextmanager
def shown_as(what: str, *, progress: bool | ProgressCallback) -> Iterator[ProgressCallback | None]:
    """Open what a caller asked for by a `progress` parameter.

    Args:
        what: the text before the bar.
        progress: True draws a bar, see `ProgressBars`, False nothing; a function is called with (done, total).
    """
    if progress is True:
        with progress_bar(what) as bar:
            yield bar
    else:
        yield progress or None
