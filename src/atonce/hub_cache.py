"""The cache of Hugging Face's client, as its documentation lays it out: files by their checksum, and links to them.

Files are brought there by atonce itself. The client names them as the hub says, wherever that leads, and takes as many
bytes as the hub sends.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from atonce.storage import make_folder, write_atomically, write_text

_CHECKSUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def is_checksum(text: str | None) -> bool:
    """Tell whether a text is a sha1 or a sha256 in hexadecimal digits, which is all that may name a file here."""
    return text is not None and _CHECKSUM.fullmatch(text) is not None


@dataclass(frozen=True)
class CachedFile:
    """A file of a repository at one commit.

    Attributes:
        folder: of the cache.
        repo: "user/name".
        file: its path in the repository.
        commit: of the repository.
        digest: its checksum, as the hub says.
    """

    folder: Path
    repo: str
    file: str
    commit: str
    digest: str

    def __post_init__(self) -> None:
        if not (is_checksum(self.commit) and is_checksum(self.digest)):
            raise ValueError(f"'{self.commit}' and '{self.digest}' are to be checksums")

    @property
    def _repository(self) -> Path:
        return self.folder / f"models--{self.repo.replace('/', '--')}"

    @property
    def path(self) -> Path:
        """The path under which it is found: a link, where the file system has links."""
        return self._repository / "snapshots" / self.commit / self.file

    def bring(self, download: Callable[[Path], object], revision: str) -> Path:
        """Return `path`, after downloading the file if it is not there; a revision then leads to it offline.

        Args:
            download: writes the file, whole and checked, to a path that it is given.
            revision: the name of a branch, or whatever the commit was found by.

        Raises:
            StorageError: the cache cannot be written.
        """
        if not self.path.exists():
            blob = self._repository / "blobs" / self.digest
            make_folder(blob.parent)
            make_folder(self.path.parent)
            if not blob.exists():
                write_atomically(blob, download)
            self._link(blob)
        if revision != self.commit:
            note = self._repository / "refs" / revision
            make_folder(note.parent)
            write_text(note, self.commit)
        return self.path

    def _link(self, blob: Path) -> None:
        up = Path(*[".."] * (len(Path(self.file).parts) + 1))
        try:
            self.path.symlink_to(up / "blobs" / blob.name)
        except FileExistsError:  # another process has been faster
            return
        except OSError:
            write_atomically(self.path, lambda temporary: shutil.copyfile(blob, temporary))
            with suppress(OSError):
                blob.unlink()
