"""The result of segmenting one picture, and overlays."""

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
    """The segmentation of one picture, at that picture's size.

    Attributes:
        image: uint8 (H, W, 3) RGB, upright, as the network's caller gave it.
        label_spec: names and colours of the classes.

    Args:
        logits: float32 (C, H, W); None where only `labels`, uint8 (H, W), are known: of pictures too large to hold
            logits, and of exported files that give labels alone.
        probabilities: float32 (C, H, W), of exported files that give these instead of logits.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        label_spec: LabelSpec,
        *,
        logits: torch.Tensor | None = None,
        labels: NDArray[np.uint8] | None = None,
        probabilities: NDArray[np.float32] | None = None,
    ) -> None:
        self.image, self.label_spec = image, label_spec
        self._logits, self._labels, self._probabilities = logits, labels, probabilities

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the ids."""
        return self.label_spec.names

    @property
    def labels_only(self) -> bool:
        """True where there are neither logits nor probabilities."""
        return self._logits is None and self._probabilities is None

    @cached_property
    def logits(self) -> torch.Tensor:
        """Logits float32 (C, H, W), or the logarithms of the probabilities: the same up to a constant per pixel.

        Raises:
            UserError: only the labels are known.
        """
        if self._logits is not None:
            return self._logits
        return torch.from_numpy(self.probabilities).clamp_min(torch.finfo(torch.float32).tiny).log()

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """The most probable class of each pixel, ids uint8 (H, W)."""
        return self.logits.argmax(0).to(torch.uint8).numpy() if self._labels is None else self._labels

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities float32 (C, H, W), in 0..1, summing to 1 over C. Raises UserError: only labels are known."""
        if self._probabilities is not None:
            return self._probabilities
        if self._logits is None:
            raise no_probabilities(self.image.shape)
        return self._logits.softmax(0).numpy()

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """Lay the classes' colours over the picture.

        Args:
            opacity: weight of the colours, 0..1.
        """
        mixed = np.empty_like(self.image)
        for top in range(0, len(mixed), _BAND):
            rows = slice(top, top + _BAND)
            mixed[rows] = blend(self.image[rows], self.label_spec.colour(self.labels[rows]), opacity)
        return Image.fromarray(mixed)

    def label_image(self) -> Image.Image:
        """Return a palette picture (mode P) whose indices are the class ids, in the colours of the classes."""
        picture = Image.fromarray(self.labels)
        picture.putpalette(self.label_spec.lookup().flatten().tolist())
        return picture


def no_probabilities(shape: tuple[int, ...]) -> UserError:
    """Build the error for a picture of (H, W, 3) of which only the labels are known."""
    asked = option("probabilities", value=True)
    return UserError(
        f"of this picture ({shape[1]}x{shape[0]}) there are labels but no probabilities",
        remedy=f"export the model with {asked}; for huge pictures use `atonce predict` with {asked}",
    )


def blend(image: NDArray[np.uint8], colours: NDArray[np.uint8], opacity: float = 0.5) -> NDArray[np.uint8]:
    """Mix two uint8 (H, W, 3) pictures; where the colour is black (void), the picture stays as it is."""
    mixed = image * (1 - opacity) + colours * opacity
    return np.where(colours.any(2, keepdims=True), np.rint(mixed), image).astype(np.uint8)


class OverlayBlender:
    """Lay the colours of label maps over pictures by a table: the same bytes as `blend`, three times as fast."""

    def __init__(self, labels: LabelSpec, opacity: float = 0.5) -> None:
        values = np.arange(256, dtype=np.uint8)[None, :, None]
        mixed = blend(np.tile(values, (256, 1, 3)), np.tile(labels.lookup()[:, None], (1, 256, 1)), opacity)
        # Class, channel, value: (256, 3, 256).
        self._table = np.ascontiguousarray(mixed.transpose(0, 2, 1)).reshape(-1)
        self._channels = np.arange(3, dtype=np.int32) * 256

    def __call__(self, image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Blend uint8 (H, W, 3) RGB with the colours of label ids uint8 (H, W) -> uint8 (H, W, 3)."""
        indices = labels.astype(np.int32)[..., None] * 768 + self._channels
        indices += image
        return self._table.take(indices)
