"""Pages named by their title, as help, messages and docstrings name them, become links on the site.

The package names no files of the documentation: whoever has the wheel alone has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

DOCS = Path(__file__).parents[1]

_NAMED = re.compile(r'\b(?P<before>[Pp]age\s+)"(?P<title>[^"]+)"')


@cache
def pages_by_title() -> dict[str, str]:
    """The pages of the documentation: title -> name of the page without its suffix."""
    found = {}
    for path in sorted(DOCS.glob("*.md")):
        (title,) = re.findall(r"^# (.+)$", path.read_text("utf-8"), re.MULTILINE)[:1]
        found[title] = path.stem
    return found


def with_page_links(text: str, link: Callable[[str, str], str]) -> str:
    """The text with a link in the place of each title of a page.

    Args:
        link: writes one, of the title and the page's name.
    """

    def replace(match: re.Match[str]) -> str:
        title = " ".join(match["title"].split())
        page = pages_by_title().get(title)
        return match[0] if page is None else match["before"] + link(title, page)

    return _NAMED.sub(replace, text)


def markdown_link(title: str, page: str) -> str:
    """A link as MyST writes it."""
    return f"[{title}]({page}.md)"


def rst_link(title: str, page: str) -> str:
    """A link as reStructuredText writes it."""
    return f":doc:`{title} </{page}>`"
