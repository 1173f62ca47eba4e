"""What a network says of one picture."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from atonce.errors import UserError, option
from atonce.labels import LabelSpec

# Rows of a picture that are mixed at once: the mixture is computed in float64.
_BAND = 256


class Result:
    """What a network says of one picture, at that picture's size.

    Attributes:
        image: uint8 (H, W, 3) RGB, upright, as the network's caller gave it.

    Args:
        logits: float32 (C, H, W); None where only `labels`, uint8 (H, W), are known: of pictures too large to hold
            logits, and of exported files that give labels alone.
        probabilities: float32 (C, H, W), of exported files that give these instead of logits.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        logits: torch.Tensor | None,
        label_spec: LabelSpec,
        labels: NDArray[np.uint8] | None = None,
        probabilities: NDArray[np.float32] | None = None,
    ) -> None:
        self.image, self.label_spec = image, label_spec
        self._logits, self._labels, self._probabilities = logits, labels, probabilities

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the ids."""
        return self.label_spec.names

    @property
    def labels_only(self) -> bool:
        """Whether there are neither logits nor probabilities."""
        return self._logits is None and self._probabilities is None

    @cached_property
    def logits(self) -> torch.Tensor:
        """float32 (C, H, W), or the logarithms of the probabilities: the same up to a constant per pixel.

        Raises:
            UserError: only the labels are known.
        """
        if self._logits is not None:
            return self._logits
        return torch.from_numpy(self.probabilities).clamp_min(torch.finfo(torch.float32).tiny).log()

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """uint8 (H, W): the most probable class of each pixel."""
        return self.logits.argmax(0).to(torch.uint8).numpy() if self._labels is None else self._labels

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """float32 (C, H, W), in 0..1, summing to 1 over C. Raises UserError: only the labels are known."""
        if self._probabilities is not None:
            return self._probabilities
        if self._logits is None:
            height, width = self.image.shape[:2]
            raise UserError(
                f"of this picture ({width}x{height}) there are labels but no probabilities",
                remedy=f"export the model with {option('probabilities', True)}; those of huge pictures are written by "
                f"`atonce predict` with {option('probabilities', True)}",
            )
        return self._logits.softmax(0).numpy()

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """The picture with the classes' colours laid over it; opacity in 0..1."""
        mixed = np.empty_like(self.image)
        for top in range(0, len(mixed), _BAND):
            rows = slice(top, top + _BAND)
            mixed[rows] = blend(self.image[rows], self.label_spec.colour(self.labels[rows]), opacity)
        return Image.fromarray(mixed)

    def label_image(self) -> Image.Image:
        """A palette picture whose indices are the ids."""
        picture = Image.fromarray(self.labels)
        picture.putpalette(self.label_spec.lookup().flatten().tolist())
        return picture


def blend(image: NDArray[np.uint8], colours: NDArray[np.uint8], opacity: float = 0.5) -> NDArray[np.uint8]:
    """Two uint8 (H, W, 3) pictures -> their mixture; black (void) leaves the picture as it is."""
    mixed = image * (1 - opacity) + colours * opacity
    return np.where(colours.any(2, keepdims=True), np.rint(mixed), image).astype(np.uint8)


class OverlayBlender:
    """`blend` with the colours of labels, looked up in a table: the same bytes, three times as fast."""

    def __init__(self, labels: LabelSpec, opacity: float = 0.5) -> None:
        values = np.arange(256, dtype=np.uint8)[None, :, None]
        mixed = blend(np.tile(values, (256, 1, 3)), np.tile(labels.lookup()[:, None], (1, 256, 1)), opacity)
        # Class, channel, value: (256, 3, 256).
        self._table = np.ascontiguousarray(mixed.transpose(0, 2, 1)).reshape(-1)
        self._channels = np.arange(3, dtype=np.int32) * 256

    def __call__(self, image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) RGB and uint8 (H, W) -> uint8 (H, W, 3)."""
        places = labels.astype(np.int32)[..., None] * 768 + self._channels
        places += image
        return self._table.take(places)
