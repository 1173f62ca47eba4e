"""Picture in, labels of the same size out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from atonce.bundle import Bundle, load_bundle
from atonce.data.pictures import read_picture, to_rgb
from atonce.data.sizes import InputSize
from atonce.errors import DataError
from atonce.labels import LabelSpec

Picture = str | Path | Image.Image | NDArray[Any]


@dataclass(frozen=True)
class Result:
    """What a network says of one picture, at that picture's size.

    Attributes:
        image: uint8 (H, W, 3) RGB, upright, as the network's caller gave it.
        logits: float32 (C, H, W).
    """

    image: NDArray[np.uint8]
    logits: torch.Tensor
    label_spec: LabelSpec

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the ids."""
        return self.label_spec.names

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """uint8 (H, W): the most probable class of each pixel."""
        return self.logits.argmax(0).to(torch.uint8).numpy()

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """float32 (C, H, W), in 0..1, summing to 1 over C."""
        return self.logits.softmax(0).numpy()

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """The picture with the classes' colours laid over it; opacity in 0..1."""
        return Image.fromarray(blend(self.image, self.label_spec.colour(self.labels), opacity))

    def label_image(self) -> Image.Image:
        """A palette picture whose indices are the ids."""
        picture = Image.fromarray(self.labels)
        picture.putpalette(self.label_spec.lookup().flatten().tolist())
        return picture


class Predictor:
    """A network ready for use: any picture size in, the same size out.

    Args:
        device: "cpu", "cuda", ...; None takes the first GPU, or the CPU.
        autocast: multiply in bf16.
    """

    def __init__(self, bundle: Bundle, device: str | torch.device | None = None, autocast: bool = False) -> None:
        self.bundle, self.labels = bundle, bundle.labels
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.autocast = autocast
        self.model = bundle.model.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @classmethod
    def from_file(cls, path: str | Path, device: str | torch.device | None = None) -> Predictor:
        """Raises WeightsError when the file is not a model of atonce."""
        return cls(load_bundle(Path(path)), device)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.labels.names

    def __call__(self, picture: Picture) -> Result:
        """Segment a path, a Pillow picture, or a uint8 array (H, W, 3) RGB or (H, W) grey.

        Raises:
            DataError: the file cannot be read, or the array has another shape or type.
        """
        image = as_rgb(picture)
        return Result(image, self.logits(image), self.labels)

    @torch.inference_mode()
    def logits(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """uint8 (H, W, 3) RGB -> float32 (C, H, W) logits on the CPU."""
        height, width = image.shape[:2]
        batch = network_input(image, self.bundle.input_size, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            scores: torch.Tensor = self.model(batch.contiguous(memory_format=torch.channels_last))
        logits = scores.float()
        if logits.shape[-2:] != (height, width):
            logits = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
        return logits[0].cpu()


def network_input(image: NDArray[np.uint8], input_size: InputSize, device: torch.device | None = None) -> torch.Tensor:
    """uint8 (H, W, 3) RGB -> (1, 3, h, w), 0..255, at the size that the network sees."""
    # A copy: Pillow hands out arrays that must not be written to, and torch warns of those.
    batch = torch.tensor(image).to(device).permute(2, 0, 1)[None]
    size = input_size.apply(*image.shape[:2])
    if size == image.shape[:2]:
        return batch
    return F.interpolate(batch.float(), size, mode="bilinear", align_corners=False, antialias=True)


def as_rgb(picture: Picture) -> NDArray[np.uint8]:
    """Whatever a caller has -> uint8 (H, W, 3) RGB. Raises DataError."""
    if isinstance(picture, (str, Path)):
        return read_picture(Path(picture))
    if isinstance(picture, Image.Image):
        return to_rgb(picture)
    array = np.asarray(picture)
    if array.dtype != np.uint8:
        raise DataError(f"a picture array of dtype {array.dtype}", "uint8, values 0..255", "convert it first")
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise DataError(f"a picture array of shape {array.shape}", "(H, W, 3) RGB or (H, W) grey")
    return array


def blend(image: NDArray[np.uint8], colours: NDArray[np.uint8], opacity: float = 0.5) -> NDArray[np.uint8]:
    """Two uint8 (H, W, 3) pictures -> their mixture; black (void) leaves the picture as it is."""
    mixed = image * (1 - opacity) + colours * opacity
    return np.where(colours.any(2, keepdims=True), np.rint(mixed), image).astype(np.uint8)
