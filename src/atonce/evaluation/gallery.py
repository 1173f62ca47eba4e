"""The pictures a network did worst and best on, gathered while a split is evaluated."""

from __future__ import annotations

import io
import math
import re
from bisect import insort
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from atonce.data.dataset import Sample
from atonce.evaluation.scoring import PictureScore, panel
from atonce.inference.result import Result
from atonce.storage import make_folder, write_atomically

_WIDTH = 2400
"""Most pixels across a panel of three: enough for a report, and it bounds memory whatever the data set."""
_QUALITY = 90


@dataclass(order=True)
class _Shot:
    """One candidate. The order is total (names are unique in a split), so ties end the same way every time."""

    mean_iou: float
    name: str
    pixel_accuracy: float = field(compare=False)
    jpeg: bytes = field(compare=False, repr=False)


class Gallery:
    """Keeps the pictures of lowest and highest mean IoU; call it as `on_picture` of `score_items`.

    No more than `best + worst` compressed panels (picture, truth, prediction) are held at a time. Pictures without a
    labelled pixel (NaN) are neither best nor worst. Of equal scores the earlier name counts as the worse.

    Raises:
        ValueError: a negative number of pictures.
    """

    def __init__(self, best: int = 4, worst: int = 8) -> None:
        if best < 0 or worst < 0:
            raise ValueError(f"best={best}, worst={worst}; expected numbers of pictures, 0 or more")
        self.best, self.worst = best, worst
        self._lowest: list[_Shot] = []
        self._highest: list[_Shot] = []
        self._scored = 0

    def __call__(self, sample: Sample, result: Result, score: PictureScore) -> None:
        """Look at one picture; draw it only if it is among the candidates so far."""
        if math.isnan(score.mean_iou):
            return
        self._scored += 1
        key = (score.mean_iou, score.name)
        low = len(self._lowest) < self.worst or (self.worst > 0 and key < _key(self._lowest[-1]))
        high = len(self._highest) < self.best or (self.best > 0 and key > _key(self._highest[0]))
        if not (low or high):
            return
        shot = _Shot(score.mean_iou, score.name, score.pixel_accuracy, _draw(sample, result))
        if low:
            insort(self._lowest, shot)
            del self._lowest[self.worst :]
        if high:
            insort(self._highest, shot)
            del self._highest[: -self.best]

    def merge(self, other: Gallery) -> None:
        """Take over the candidates of another gallery of the same size, of other pictures."""
        self._scored += other._scored
        self._lowest = sorted([*self._lowest, *other._lowest])[: self.worst]
        self._highest = sorted([*self._highest, *other._highest])[-self.best :] if self.best else []

    def save(self, folder: Path) -> list[dict[str, Any]]:
        """Write `gallery/worst_1_NAME.jpg` and so on under `folder`; worst first, then best, each from its extreme.

        Returns:
            One entry a picture, ready for JSON: name, mean_iou, pixel_accuracy, rank ("worst" or "best") and
            picture, the path relative to `folder`.

        Raises:
            StorageError: a picture cannot be written.
        """
        lowest, highest = self._chosen()
        entries = []
        for rank, shots in (("worst", lowest), ("best", highest)):
            for place, shot in enumerate(shots, 1):
                relative = f"gallery/{rank}_{place}_{_file_stem(shot.name)}.jpg"
                make_folder((folder / relative).parent)
                write_atomically(folder / relative, partial(_write_bytes, shot.jpeg))
                scores = {"mean_iou": shot.mean_iou, "pixel_accuracy": shot.pixel_accuracy}
                entries.append({"name": shot.name, **scores, "rank": rank, "picture": relative})
        return entries

    def _chosen(self) -> tuple[list[_Shot], list[_Shot]]:
        """Worst and best, no picture in both: too few pictures are shared out in the proportion asked for."""
        wanted = self.best + self.worst
        best = self.best if self._scored >= wanted else self._scored * self.best // wanted
        worst = min(self.worst, self._scored - best)
        return self._lowest[:worst], self._highest[::-1][:best]


def _key(shot: _Shot) -> tuple[float, str]:
    return shot.mean_iou, shot.name


def _draw(sample: Sample, result: Result) -> bytes:
    picture = panel(sample.image, sample.mask, result.labels, result.label_spec)
    if picture.width > _WIDTH:
        # A multiple of three across, so that the three parts can be cut apart again.
        picture = picture.resize((_WIDTH, max(1, round(picture.height * _WIDTH / picture.width))), Image.Resampling.BOX)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def _write_bytes(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def _file_stem(name: str) -> str:
    """Names are file stems by contract; a data set that breaks it must not choose where we write."""
    return re.sub(r"[^\w.-]", "_", name)[:80]
