"""report.html: one file that says how a training or an evaluation went, to be read, printed and sent around.

It holds everything inline and loads nothing: no script, no font, no picture from elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from atonce.storage import write_text

__all__ = ["write_report"]


def write_report(run: Path) -> Path:
    """Write `run/report.html` and return its path.

    Args:
        run: a run directory, finished or not, or a folder that only holds an evaluation. What is missing is left
            out of the report, which says so.

    Raises:
        DataError: there is nothing to report in the folder, or a file in it is damaged.
        StorageError: the report cannot be written.
    """
    # What draws pages brings matplotlib and torch; whoever only asks what a page is must not wait for them.
    from atonce.reports.report_page import render
    from atonce.reports.run_files import read_run_files

    path = run / "report.html"
    write_text(path, render(read_run_files(run)))
    return path
