"""Results that are finished already, so that `atonce predict` skips them: each says itself what made it.

The tag stands in the file that is written last: in the text of the label picture, in the comment of the video. So what
was finished before a kill is known, whatever else was written there before, and by whom.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from atonce.errors import DataError, UserError, option
from atonce.inference.inputs import Job
from atonce.inference.own_results import PNG_KEY
from atonce.inference.video.container import comment_of
from atonce.storage import is_abandoned, sha256_of, short_stem, storage_errors, temporary_stem
from atonce.untrusted_files import is_ordinary, parse_json


def model_fingerprint(model: Path) -> str:
    """Return the beginning of the sha256 of a model file or an exported file. Raises StorageError: unreadable."""
    # OpenVINO keeps the weights beside the graph.
    weights = model.with_suffix(".bin")
    files = [model, weights] if model.suffix.lower() == ".xml" and weights.is_file() else [model]
    return "".join(sha256_of(file)[:16] for file in files)


_WHOLE_BYTES, _SAMPLES = 64 << 20, 64


def content_digest(path: Path) -> str:
    """Return a digest of a file's size and content, 16 hexadecimal digits; of more than 64 MB, of 64 parts of it.

    Reading and hashing takes two to three milliseconds a megabyte, against tens for decoding such a picture. Of a film
    of hours, 64 MB with its beginning and its end tell it from any other.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        part = _WHOLE_BYTES // _SAMPLES
        whole = size <= _WHOLE_BYTES
        starts = range(0, size, part) if whole else [round(i * (size - part) / (_SAMPLES - 1)) for i in range(_SAMPLES)]
        digest = hashlib.sha256(str(size).encode())
        for start in starts:
            file.seek(start)
            digest.update(file.read(part))
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class ResultTag:
    """The model, the options and the source that a result was made of.

    Attributes:
        model: its `model_fingerprint`.
        options: those that change the result, by name.
        source: size in bytes and time of change, in nanoseconds, of the file that came in.
        content: its `content_digest`; empty where an earlier version made the result.
        path: a digest of its absolute path, which tells a picture that was changed from another one of that name; a
            digest, because results are given to others. Empty as `content` is.
    """

    model: str
    options: Mapping[str, Any]
    source: tuple[int, int]
    content: str = ""
    path: str = ""

    def __str__(self) -> str:
        # The model comes first: `own_results` knows a result of ours by that.
        data = {
            "model": self.model,
            "options": dict(sorted(self.options.items())),
            "source": self.source,
            "content": self.content,
            "path": self.path,
        }
        return json.dumps(data)

    def is_of_same_source(self, other: ResultTag) -> bool:
        """Tell whether two results are of files with the same content, wherever they lie."""
        if self.content and other.content:
            return self.content == other.content
        return self.source == other.source

    def is_of_another_file(self, other: ResultTag) -> bool:
        """Tell whether two results are of files at different paths, as far as both tell."""
        return bool(self.path and other.path) and self.path != other.path

    @classmethod
    def parse(cls, text: str | None) -> ResultTag | None:
        """Read the tag back from its text; None where there is none, or not one of ours."""
        try:
            data = parse_json(text or "")
            size, changed = data["source"]
            return cls(data["model"], data["options"], (size, changed), data.get("content", ""), data.get("path", ""))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    @classmethod
    def for_job(cls, job: Job, model: str, options: Mapping[str, Any]) -> ResultTag:
        """Build the tag of a result to be made. Raises DataError: the source has gone since it was listed."""
        try:
            state = job.source.stat()
            if not stat.S_ISREG(state.st_mode):
                raise DataError(f"{job.source} is no ordinary file", "a picture or video", "copy it to one")
            content = content_digest(job.source)
        except OSError as error:
            raise DataError(f"{job.source} cannot be read: {error.strerror}", "a picture or video") from None
        path = hashlib.sha256(os.fsencode(job.source.absolute())).hexdigest()[:16]
        return cls(model, options, (state.st_size, state.st_mtime_ns), content, path)


def read_tag(path: Path) -> ResultTag | None:
    """Read the tag of a label picture (.png) or an overlay video; None where there is none of ours."""
    if not is_ordinary(path):
        return None  # a pipe would have to be waited for
    try:
        if path.suffix == ".png":
            with Image.open(path, formats=("PNG",)) as picture:
                return ResultTag.parse(picture.info.get(PNG_KEY))
        return ResultTag.parse(comment_of(path))
    except (DataError, OSError, SyntaxError, ValueError):
        return None


def is_finished(tag: ResultTag, tagged: Path, others: Sequence[Path]) -> bool:
    """Tell whether the results of a job are there; not so where the picture or the video has changed since.

    The same content at another path is the same picture.

    Args:
        tagged: the result that carries the tag.
        others: the results beside it.

    Raises:
        UserError: there is a result of another model, of other options, or of another picture of that name, which would
            be overwritten.
    """
    if not tagged.exists():
        return False
    found = read_tag(tagged)
    if found is None or (found.model, found.options) != (tag.model, tag.options):
        raise UserError(
            f"{tagged} was made by another model or with other options",
            "results of this model and these options, to go on with",
            f"choose another {option('out')}, or replace them with {option('overwrite', value=True)}",
        )
    if found.is_of_same_source(tag):
        return all(path.exists() for path in others)
    if found.is_of_another_file(tag):
        raise UserError(
            f"{tagged} is the result of another file of that name",
            "results of the same file, to go on with",
            f"choose another {option('out')}, or replace them with {option('overwrite', value=True)}",
        )
    return False


def remove_leftovers(folders: Sequence[Path], jobs: Sequence[Job]) -> None:
    """Remove what a dead process left of these jobs under temporary names. Raises StorageError.

    Of these only, and never what a living process is writing.
    """
    names = {(job.target.parent, short_stem(job.target.name)) for job in jobs}
    for folder in folders:
        for path in folder.rglob(".*.tmp.*"):
            stem = temporary_stem(path)
            if (path.parent.relative_to(folder), stem) in names and is_abandoned(path):
                with storage_errors(path):
                    path.unlink(missing_ok=True)
