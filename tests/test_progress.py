"""Bars: what stands beside them."""

from __future__ import annotations

import io
import re
from contextlib import suppress

import pytest
from rich.console import Console
from rich.progress import Progress

from atonce import progress
from atonce.progress import PrintableConsole, _CountsOrText


def test_a_bar_tells_how_many_are_done_in_a_second() -> None:
    now = [0.0]
    column = _CountsOrText()
    with Progress(
        column, console=Console(file=io.StringIO(), width=80), get_time=lambda: now[0], auto_refresh=False
    ) as bars:
        task = bars.add_task("predicting", total=500, about=None, unit="")
        for seconds, done in ((1.0, 20), (2.0, 60), (3.0, 100)):
            now[0] = seconds
            bars.update(task, completed=done)
        assert column.render(bars.tasks[0]).plain == "100/500  40.0/s  0:10 left"


def _drawn(monkeypatch: pytest.MonkeyPatch, *, fail: bool = False) -> str:
    """What a terminal of 80 columns is sent while a bar is drawn."""
    stream = io.StringIO()
    terminal = PrintableConsole(file=stream, force_terminal=True, width=80, height=30, _environ={})
    monkeypatch.setattr(progress, "console", terminal)
    with suppress(KeyboardInterrupt), progress.progress_bars() as bars:
        bars.draw("training", 0.5, 1.0, about=["5 steps", "3:52 left of 4:00", "mean loss 2.3468", "x" * 8])
        bars._progress.refresh()
        if fail:
            raise KeyboardInterrupt
    return stream.getvalue()


def test_there_is_room_behind_a_bar_for_what_a_terminal_echoes(monkeypatch: pytest.MonkeyPatch) -> None:
    """^C in the next line would have rich clear that one, and leave the bar."""
    lines = [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]", _drawn(monkeypatch))]
    assert 60 < max(map(len, lines)) <= 78


def test_what_is_stopped_leaves_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    after = _drawn(monkeypatch, fail=True).rpartition("\x1b[2K")[2]
    assert "training" not in after and "training" in _drawn(monkeypatch).rpartition("\x1b[2K")[2]
