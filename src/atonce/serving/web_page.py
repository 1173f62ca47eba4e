"""The page at /: one file that loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Page:
    """A web page and the policy that it is sent with.

    Attributes:
        html: the document.
        policy: the value of Content-Security-Policy, which lets a browser run the document's own script and no other.
    """

    html: str
    policy: str


def build_page() -> Page:
    """Put script and style into the document."""
    folder = files("atonce.serving")
    style, script = (f"\n{(folder / name).read_text('utf-8')}" for name in ("page.css", "page.js"))
    html = (folder / "page.html").read_text("utf-8").replace("/*style*/", style).replace("/*script*/", script)
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; "
        f"img-src blob: data:; style-src {_hash(style)}; script-src {_hash(script)}"
    )
    return Page(html, policy)


def _hash(text: str) -> str:
    """The text's digest as Content-Security-Policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
