"""`Segmenter` and `BatchSegmenter`: the least that evaluation and videos ask of a network."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from atonce.inference.result import Result
from atonce.labels import LabelSpec


class Segmenter(Protocol):
    """Whatever turns pictures into results of the same size: a `Predictor`, or one of your own to be scored."""

    @property
    def labels(self) -> LabelSpec:
        """The classes of its results."""

    def __call__(self, picture: NDArray[np.uint8], /) -> Result:
        """Segment uint8 (H, W, 3) RGB."""


class BatchSegmenter(Protocol):
    """Whatever labels batches of pictures of one size, as the frames of a video are; see `Predictor`."""

    labels: LabelSpec

    def segment(self, image: NDArray[np.uint8]) -> Result:
        """Segment uint8 (H, W, 3) RGB."""

    def size_note(self, size: tuple[int, ...]) -> str | None:
        """Say if pictures of (height, width) are far from the size that it knows."""

    def predict_labels(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Segment uint8 (N, H, W, 3) RGB -> label ids uint8 (N, H, W)."""

    def batch_size_for(self, size: tuple[int, ...]) -> int:
        """Return how many pictures of (height, width) a batch may hold."""
