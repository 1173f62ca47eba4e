"""Bars: what stands beside them."""

from __future__ import annotations

import io

from rich.console import Console
from rich.progress import Progress

from atonce.progress import _CountsOrText


def test_a_bar_tells_how_many_are_done_in_a_second() -> None:
    now = [0.0]
    column = _CountsOrText()
    with Progress(
        column, console=Console(file=io.StringIO(), width=80), get_time=lambda: now[0], auto_refresh=False
    ) as progress:
        task = progress.add_task("predicting", total=500, about=None, unit="")
        for seconds, done in ((1.0, 20), (2.0, 60), (3.0, 100)):
            now[0] = seconds
            progress.update(task, completed=done)
        assert column.render(progress.tasks[0]).plain == "100/500  40.0/s  0:10 left"
