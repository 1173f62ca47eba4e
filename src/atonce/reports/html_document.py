"""The frame of every page: one file that loads nothing and runs nothing."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from atonce.storage import refuse_foreign
from atonce.untrusted_files import read_beginning

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The browser itself then sees to it that nothing is loaded and no script is run."""


_MARK = " · atonce "
"""The words in the title of every page."""


def refuse_foreign_page(path: Path) -> None:
    """Refuse to write a page over a file that is none of ours, before hours of work end in it. Raises DataError."""
    refuse_foreign(path, _is_page)


def _is_page(path: Path) -> bool:
    return _MARK.encode() in read_beginning(path, 8192)


def document(title: str, header: str, body: str, extra_style: str = "") -> str:
    """Return a whole HTML document around a header and a body that have been escaped already.

    Args:
        title: the window's.
        extra_style: CSS beyond style.css.
    """
    style = (files("atonce.reports") / "style.css").read_text("utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}{extra_style}</style>
</head>
<body>
<header>
{header}
</header>
<main>
{body}</main>
</body>
</html>
"""
