"""Bars: what stands beside them, and the lines in their place where there is no terminal."""

from __future__ import annotations

import io
import re
from contextlib import suppress
from typing import Any

import pytest

from atonce import progress as module
from atonce.progress import PrintableConsole, _CountsOrText, progress_bar, progress_bars
from tests.commands import Command


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("atonce.progress.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a log file gets: no terminal."""
    file = io.StringIO()
    monkeypatch.setattr(module, "console", module.PrintableConsole(file=file, width=40))
    return file


def test_without_a_terminal_what_takes_long_is_told_by_lines(clock: list[float], log: io.StringIO) -> None:
    with progress_bar("reading the data") as bar:
        for seconds, done in ((1, 1), (4, 4), (5, 5), (20, 20), (64, 64), (66, 66), (100, 100)):
            clock[0] = 100.0 + seconds
            bar(done, 100)
    assert log.getvalue() == "reading the data: 5/100\nreading the data: 66/100\n"


def test_what_is_done_soon_is_no_line(clock: list[float], log: io.StringIO) -> None:
    with progress_bars() as bars:
        for name in ("validating", "validating"):
            bars.draw(name, 1, 2)
            clock[0] += 4
            bars.draw(name, 2, 2)
            bars.remove(name)
    assert log.getvalue() == ""


def test_what_has_words_of_its_own_beside_the_bar_is_told_by_others(clock: list[float], log: io.StringIO) -> None:
    with progress_bars() as bars:
        for share in (0.1, 0.2):
            bars.draw("training", share, 1.0, about=["1/2 steps"])
            clock[0] += 600
    assert log.getvalue() == ""


def test_megabytes_are_told_as_such(clock: list[float], log: io.StringIO) -> None:
    with progress_bar("reading weights", unit="MB", first_line=0) as bar:
        bar(3_000_000, 0)
        clock[0] += 60
        bar(4_000_000, 9_000_000)
    assert log.getvalue() == "reading weights: 3 MB\nreading weights: 4/9 MB\n"


def test_drawing_streets_says_at_once_how_many(tmp_path: Any, atonce: Command) -> None:
    done = atonce("streets", tmp_path / "s", "--train", 3, "--val", 1, "--height", 32, "--width", 32, "--threads", 1)
    assert (done.code, done.err) == (0, "drawing streets: 1/4\n")
    again = atonce("streets", tmp_path / "s", "--train", 3, "--val", 1, "--height", 32, "--width", 32, "--threads", 1)
    assert (again.code, again.err) == (0, ""), "they are there"
    quiet = atonce("streets", tmp_path / "q", "--train", 3, "--val", 1, "--height", 32, "--width", 32, "-q")
    assert (quiet.code, quiet.err) == (0, "")


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        (((0.0, 0), (2.0, 20), (4.0, 60), (6.0, 120)), "120/500  20.0/s  0:19 left"),
        (((0.0, 0), (18.0, 5), (18.01, 8)), "8/500  0.44/s  18:28 left"),  # a batch that ends at once
        (((0.0, 0), (0.1, 200), (0.2, 400), (10.2, 410)), "410/500  1/s  1:30 left"),  # found done at the beginning
        (((0.0, 0), (0.1, 3)), "3/500"),
        (((0.0, 0), (10.0, 250), (20.0, 500)), "500/500  25.0/s"),
    ],
)
def test_a_bar_tells_how_many_are_done_in_a_second(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, steps: tuple[tuple[float, int], ...], shown: str
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(module, "console", PrintableConsole(file=stream, force_terminal=True, width=80, _environ={}))
    with progress_bars() as bars:
        bars.draw("predicting", 0, 0)
        clock[0] += 100  # until it is known how much there is to do
        began = clock[0]
        for seconds, done in steps:
            clock[0] = began + seconds
            bars.draw("predicting", done, 500)
        (task,) = bars._progress.tasks
        assert _CountsOrText().render(task).plain == shown


def _drawn(monkeypatch: pytest.MonkeyPatch, *, fail: bool = False) -> str:
    """What a terminal of 80 columns is sent while a bar is drawn."""
    stream = io.StringIO()
    terminal = PrintableConsole(file=stream, force_terminal=True, width=80, height=30, _environ={})
    monkeypatch.setattr(module, "console", terminal)
    with suppress(KeyboardInterrupt), progress_bars() as bars:
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
