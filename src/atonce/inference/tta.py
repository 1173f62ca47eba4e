"""Test-time augmentation: the same picture seen mirrored and at other sizes, and the mean of what the network says.

It costs a pass through the network for each view: twice the time for a flip, about seven times for a flip and the two
scales. What is averaged are the probabilities, so that no view counts for more than another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from atonce.data.input_size import InputSize
from atonce.errors import UserError, option
from atonce.inference import tiles
from atonce.inference.network_predictor import NetworkPredictor, batch_size, network_inputs
from atonce.inference.pixel_limit import computed_pixels
from atonce.model_file import ModelFile
from atonce.progress import ProgressCallback

SCALES = (0.8, 1.3)
"""The factors that "scales" stands for, beside the picture as it is."""

_SMALLEST, _LARGEST, _MOST_SCALES = 0.1, 4.0, 8
_EXPECTED = f"flip, scales, or factors from {_SMALLEST} to {_LARGEST:g} such as 0.8, separated by commas"

TTAName = str | Sequence[str | float]
"""Test-time augmentation as a user writes it: "flip", "flip,scales", "flip,0.75,1.25", or a list of these."""


@dataclass(frozen=True)
class TTA:
    """The views of a picture that are averaged; the picture as it is is always one of them.

    Attributes:
        flip: whether each view is seen mirrored, left to right, too.
        scales: factors on the height and width that the network sees, 1 among them, in ascending order.
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    @classmethod
    def parse(cls, text: TTAName | None) -> TTA:
        """Read what a user writes; None, and an empty text, is one view.

        Raises:
            UserError: another word, or a factor out of range.
        """
        words = text.split(",") if isinstance(text, str) else list(text or ())
        flip, scales = False, {1.0}
        for word in words:
            name = word.strip() if isinstance(word, str) else word
            if name == "flip":
                flip = True
            elif name == "scales":
                scales.update(SCALES)
            elif name != "" or len(words) > 1:
                scales.add(_factor(name, text))
        if len(scales) > _MOST_SCALES:
            raise UserError(
                f"{option('tta', text)}: {len(scales)} sizes", f"at most {_MOST_SCALES}, the own one counted"
            )
        return cls(flip, tuple(sorted(scales)))

    @property
    def views(self) -> int:
        """The number of passes through the network for a picture."""
        return len(self.scales) * (2 if self.flip else 1)

    def __str__(self) -> str:
        """The text that `parse` reads back; empty for one view."""
        return ",".join([*(["flip"] if self.flip else []), *(f"{scale:g}" for scale in self.scales if scale != 1)])


def _factor(word: str | float, text: TTAName | None) -> float:
    try:
        factor = float(word)
    except (TypeError, ValueError):
        factor = math.nan
    if not _SMALLEST <= factor <= _LARGEST:
        raise UserError(option("tta", text), _EXPECTED)
    return factor


class AugmentedPredictor(NetworkPredictor):
    """A `NetworkPredictor` whose results are the mean over several views of each picture.

    The logits of its results are the logarithms of the mean probabilities.

    Args:
        tta: the views.
        device, engine: as of a `NetworkPredictor`.
    """

    def __init__(
        self,
        model_file: ModelFile,
        tta: TTA,
        *,
        device: str | torch.device | None = None,
        engine: str | None = None,
    ) -> None:
        super().__init__(model_file, device=device, engine=engine)
        self.tta = tta
        self._sizes = [_scaled(model_file.input_size, scale) for scale in tta.scales]
        self._largest_view = replace(model_file, input_size=self._sizes[-1])

    def batch_size_for(self, size: tuple[int, ...]) -> int:
        """Return the number of pictures of (height, width) in a batch, 1 to 8; the largest view decides."""
        return batch_size(self._largest_view, size)

    @torch.inference_mode()
    def blocks(self, image: NDArray[np.uint8], progress: ProgressCallback | None = None) -> Iterator[tiles.Block]:
        """Yield the logits of uint8 (H, W, 3) RGB part by part; memory is bounded by the tile of the largest view."""
        height, width = image.shape[:2]
        core, margin = tiles.core_side(self.model), tiles.margin(self.model.config)
        # The zoom of the largest view says how much of the picture a tile of it shows.
        seen = self._sizes[-1].apply(height, width)
        sides = [max(1, core * length // view) for length, view in zip((height, width), seen, strict=True)]
        parts = [
            (slice(top, min(top + sides[0], height)), slice(left, min(left + sides[1], width)))
            for top in range(0, height, sides[0])
            for left in range(0, width, sides[1])
        ]
        mirrored = image[:, ::-1]
        for done, (rows, columns) in enumerate(parts, 1):
            views = [(image, columns)]
            if self.tta.flip:
                views.append((mirrored, slice(width - columns.stop, width - columns.start)))
            mean = _LogMean()
            for input_size in self._sizes:
                for index, (picture, span) in enumerate(views):
                    logits = tiles.part(self._on_cpu, picture, input_size, rows=rows, columns=span, margin=margin)
                    mean.add(logits.flip(-1) if index else logits, 0)
            yield tiles.Block(rows, columns, mean.logits())
            if progress:
                progress(done, len(parts))

    def _batch_logits(self, images: NDArray[np.uint8]) -> torch.Tensor:
        size, mean = images.shape[1:3], _LogMean()
        for input_size in self._sizes:
            for flipped in (False, True) if self.tta.flip else (False,):
                inputs = network_inputs(images, input_size, self.device)
                logits = self._network(inputs.flip(-1) if flipped else inputs)
                if logits.shape[-2:] != size:
                    logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
                mean.add(logits.flip(-1) if flipped else logits, 1)
        return mean.logits()

    def _computed_pixels(self, size: tuple[int, ...]) -> int:
        return computed_pixels(self._largest_view, size)


class _LogMean:
    """The logarithm of the mean of probabilities, in the memory of two views."""

    def __init__(self) -> None:
        self._total: torch.Tensor | None = None
        self._count = 0

    def add(self, logits: torch.Tensor, classes: int) -> None:
        """Add the logits of a view, whose classes lie along a dimension."""
        log_probabilities = F.log_softmax(logits.float(), classes)
        self._count += 1
        self._total = log_probabilities if self._total is None else torch.logaddexp(self._total, log_probabilities)

    def logits(self) -> torch.Tensor:
        assert self._total is not None
        return self._total - math.log(self._count)


def _scaled(rule: InputSize, factor: float) -> InputSize:
    """Return the rule for a view of a picture: that of the network, times a factor."""
    if factor == 1:
        return rule
    side = rule.max_side and max(1, round(rule.max_side * factor))
    size = rule.size and tuple(max(1, round(length * factor)) for length in rule.size)
    return InputSize(rule.scale * factor, side, (size[0], size[1]) if size else None)
