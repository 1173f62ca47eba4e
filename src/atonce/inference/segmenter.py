"""`Segmenter`: the least that evaluation asks of a network."""

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
