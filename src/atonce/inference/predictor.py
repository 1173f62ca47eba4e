"""`Predictor`, what `atonce.load` returns: any picture size in, labels of the same size out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from atonce.data.images import Bands, read_image, to_rgb
from atonce.errors import DataError
from atonce.inference.tiles import Block
from atonce.progress import ProgressCallback

if TYPE_CHECKING:
    from atonce.inference.result import Result
    from atonce.inference.video.overlay import VideoReport
    from atonce.labels import LabelSpec
    from atonce.model import FCN
    from atonce.model_file import ModelFile

Picture = str | Path | Image.Image | NDArray[Any]
"""A path, a Pillow picture, or a uint8 array: (H, W, 3) RGB or (H, W) grey."""


class Predictor(ABC):
    """A network ready for use: call it with a picture of any size, get a `Result` of the same size.

    `atonce.load` makes one: a `NetworkPredictor` of a model file, or an `ExportedPredictor` of an exported file. Both
    are used in the same way, in folders, videos, evaluation and the server.

    Attributes:
        model_file: the description of the network: labels, input size, recipe, scores, training data.
        model: the network; of an exported file its layers without their weights, which only the engine holds.
        labels: names and colours of the classes, in the order of their ids.
        engine: what computes: "torch", "torch-bf16", "onnxruntime" or "openvino".
        device: where torch computes; the CPU for other engines.
    """

    model_file: ModelFile
    model: FCN
    labels: LabelSpec
    engine: str
    device: torch.device

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their ids."""
        return self.labels.names

    @abstractmethod
    def __call__(self, picture: Picture, progress: ProgressCallback | None = None) -> Result:
        """Segment one picture.

        Args:
            picture: a path, a Pillow picture, or a uint8 array (H, W, 3) RGB or (H, W) grey.
            progress: called with the tiles done and all tiles, where the picture is so large that there are tiles.

        Raises:
            DataError: the file cannot be read, or the array has another shape or dtype.
        """

    @abstractmethod
    def predict_labels(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Segment a batch of pictures of one size: uint8 (N, H, W, 3) RGB -> label ids uint8 (N, H, W).

        The labels are those of one picture at a time, up to the rounding of floats; together it is faster.
        `batch_size_for` says how many pictures a batch may hold.
        """

    @abstractmethod
    def batch_size_for(self, size: tuple[int, ...]) -> int:
        """Return how many pictures of `size`, (height, width), take as much memory as the largest single one may."""

    @abstractmethod
    def logits(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Compute logits: uint8 (H, W, 3) RGB -> float32 (C, H, W) on the CPU, the picture in one piece."""

    @abstractmethod
    def blocks(self, image: NDArray[np.uint8], progress: ProgressCallback | None = None) -> Iterator[Block]:
        """Yield the logits of uint8 (H, W, 3) RGB part by part, so that memory is bounded by a tile.

        Raises:
            UserError: the engine gives whole results only.
        """

    def frames(self, video: str | Path) -> Iterator[tuple[float, Result]]:
        """Yield a video's frames, upright, each as its time in seconds and its result; one is held at a time.

        Raises:
            DataError: not a video, or broken.
            UserError: the extra `video` is not installed.
        """
        from atonce.inference.video.reader import Video

        with Video(Path(video)) as opened:
            for frame in opened.frames():
                yield float(frame.time), self(frame.image)

    def video(self, source: str | Path, out: str | Path, opacity: float = 0.5, *, audio: bool = True) -> VideoReport:
        """Write a video with the classes' colours laid over it; `predict_video` has more options and the errors.

        Args:
            opacity: weight of the colours, 0..1.
            audio: whether the sound is copied.
        """
        from atonce.inference.video.overlay import predict_video

        return predict_video(self, Path(source), Path(out), opacity=opacity, audio=audio)


def as_rgb(picture: Picture, bands: Bands | None = None) -> NDArray[np.uint8]:
    """Convert whatever a caller has to uint8 (H, W, 3) RGB.

    Args:
        bands: those that are read of a file, see `read_image`.

    Raises:
        DataError: unreadable, or another shape or dtype.
    """
    if isinstance(picture, (str, Path)):
        return read_image(Path(picture), bands)
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
