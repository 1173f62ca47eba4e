"""The addresses in the package's metadata: those of the repository that builds it, which only that knows.

The release sets ATONCE_REPOSITORY, such as https://github.com/OWNER/atonce. Elsewhere the metadata have no addresses: a
name that nobody holds yet is one that anybody may take.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Addresses(MetadataHookInterface):
    """Adds the project's addresses and the README, whose links lead to the repository wherever it is read."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in `readme`, and `urls` where the repository is known."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        repository = os.environ.get("ATONCE_REPOSITORY", "").rstrip("/")
        if repository:
            text = with_absolute_links(text, repository, f"v{metadata['version']}")
            metadata["urls"] = {
                "Repository": repository,
                "Documentation": f"{repository}/tree/v{metadata['version']}/docs",
                "Changelog": f"{repository}/blob/v{metadata['version']}/CHANGELOG.md",
                "Issues": f"{repository}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def with_absolute_links(text: str, repository: str, tag: str) -> str:
    """The text with links into the repository where they led to a file beside it: an index shows it by itself."""

    def replace(match: re.Match[str]) -> str:
        kind = "raw" if match["image"] else "blob"
        return f"{match['image']}[{match['text']}]({repository}/{kind}/{tag}/{match['target']})"

    return re.sub(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!https?:|#)(?P<target>[^)\s]+)\)", replace, text)
