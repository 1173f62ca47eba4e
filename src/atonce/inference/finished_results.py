"""Results that are finished already, so that `atonce predict` skips them: each says itself what made it.

The tag stands in the file that is written last: in the text of the label picture, in the comment of the video. So what
was finished before a kill is known, whatever else was written there before, and by whom.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from atonce.errors import DataError, UserError, option
from atonce.inference.inputs import Job
from atonce.inference.own_results import PNG_KEY
from atonce.inference.video.container import comment_of
from atonce.storage import is_abandoned, sha256_of, storage_errors, temporary_stem


def model_fingerprint(model: Path) -> str:
    """Return the beginning of the sha256 of a model file or an exported file. Raises StorageError: unreadable."""
    # OpenVINO keeps the weights beside the graph.
    weights = model.with_suffix(".bin")
    files = [model, weights] if model.suffix.lower() == ".xml" and weights.is_file() else [model]
    return "".join(sha256_of(file)[:16] for file in files)


@dataclass(frozen=True)
class ResultTag:
    """The model, the options and the source that a result was made of.

    Attributes:
        model: its `model_fingerprint`.
        options: those that change the result, by name.
        source: size in bytes and time of change, in nanoseconds, of the file that came in.
    """

    model: str
    options: Mapping[str, Any]
    source: tuple[int, int]

    def __str__(self) -> str:
        return json.dumps({"model": self.model, "options": self.options, "source": self.source}, sort_keys=True)

    @classmethod
    def parse(cls, text: str | None) -> ResultTag | None:
        """Read the tag back from its text; None where there is none, or not one of ours."""
        try:
            data = json.loads(text or "")
            size, changed = data["source"]
            return cls(data["model"], data["options"], (size, changed))
        except (ValueError, TypeError, KeyError):
            return None

    @classmethod
    def for_job(cls, job: Job, model: str, options: Mapping[str, Any]) -> ResultTag:
        """Build the tag of a result to be made. Raises DataError: the source has gone since it was listed."""
        try:
            state = job.source.stat()
        except OSError as error:
            raise DataError(f"{job.source} cannot be read: {error.strerror}", "a picture or video") from None
        return cls(model, options, (state.st_size, state.st_mtime_ns))


def read_tag(path: Path) -> ResultTag | None:
    """Read the tag of a label picture (.png) or an overlay video; None where there is none of ours."""
    try:
        if path.suffix == ".png":
            with Image.open(path, formats=("PNG",)) as picture:
                return ResultTag.parse(picture.info.get(PNG_KEY))
        return ResultTag.parse(comment_of(path))
    except (DataError, OSError, SyntaxError, ValueError):
        return None


def is_finished(tag: ResultTag, tagged: Path, others: Sequence[Path]) -> bool:
    """Tell whether the results of a job are there; not so where the picture or the video has changed since.

    Args:
        tagged: the result that carries the tag.
        others: the results beside it.

    Raises:
        UserError: there is a result of another model or other options, which would be overwritten.
    """
    if not tagged.exists():
        return False
    found = read_tag(tagged)
    if found is None or (found.model, found.options) != (tag.model, tag.options):
        raise UserError(
            f"{tagged} was made by another model or with other options",
            "results to go on with, or none",
            f"choose another {option('out')}, or replace them with {option('overwrite', value=True)}",
        )
    return found.source == tag.source and all(path.exists() for path in others)


def remove_leftovers(folders: Sequence[Path], jobs: Sequence[Job]) -> None:
    """Remove what a dead process left of these jobs under temporary names. Raises StorageError.

    Of these only, and never what a living process is writing.
    """
    names = {(job.target.parent, job.target.name[:40]) for job in jobs}
    for folder in folders:
        for path in folder.rglob(".*.tmp.*"):
            stem = temporary_stem(path)
            if (path.parent.relative_to(folder), stem) in names and is_abandoned(path):
                with storage_errors(path):
                    path.unlink(missing_ok=True)
