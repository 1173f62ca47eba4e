"""Picture in, labels of the same size out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from atonce.data.images import read_image, to_rgb
from atonce.data.input_size import InputSize
from atonce.errors import DataError, UserError
from atonce.inference import tiles
from atonce.inference.engines import accelerated, choose_engine
from atonce.inference.result import Result, blend
from atonce.model_file import ModelFile, load_model_file

if TYPE_CHECKING:
    from atonce.inference.video.overlay import VideoReport

__all__ = ["Predictor", "Result", "as_rgb", "blend", "network_input", "usable_device"]

Picture = str | Path | Image.Image | NDArray[Any]
Progress = Callable[[int, int], None]

EXPORTED_SUFFIXES = frozenset({".onnx", ".xml"})
"""Files of `atonce export`; every other file is read as a model file."""


_MOST_TOGETHER = 8
"""Pictures that go through the network at once; more gain little."""


class Predictor:
    """A network ready for use: any picture size in, the same size out.

    Args:
        device: "cpu", "cuda", ...; None takes the first GPU, or the CPU.
        engine: "torch", "torch-bf16" (bf16 products, for hardware that has them), "onnxruntime", "openvino", or "auto"
            for the fastest that is installed and keeps to float32; None is torch.
    """

    def __init__(
        self,
        bundle: ModelFile,
        device: str | torch.device | None = None,
        engine: str | None = None,
    ) -> None:
        self.bundle, self.labels = bundle, bundle.labels
        self.engine = choose_engine(engine, device)
        in_torch = self.engine in ("torch", "torch-bf16")
        self.device = usable_device(device if in_torch else "cpu")
        self.model = bundle.model.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._multiplied = self.model.bf16_copy() if self.engine == "torch-bf16" else self.model
        self._network = self._torch if in_torch else accelerated(self.model, self.engine)

    @classmethod
    def from_file(
        cls, path: str | Path, device: str | torch.device | None = None, engine: str | None = None
    ) -> Predictor:
        """A model file, or a file of `atonce export` (.onnx, .xml), which runs on the CPU.

        Raises:
            WeightsError: the file is not a model of atonce.
            UserError: there is no such device or engine, or the engine is not installed.
        """
        path = Path(path)
        if path.suffix.lower() in EXPORTED_SUFFIXES:
            from atonce.inference.exported import ExportedPredictor

            return ExportedPredictor(path, device, engine)
        # Before the file is read: both may be mistyped.
        choose_engine(engine, device)
        return cls(load_model_file(path), usable_device(device), engine=engine)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.labels.names

    def __call__(self, picture: Picture, progress: Progress | None = None) -> Result:
        """Segment a path, a Pillow picture, or a uint8 array (H, W, 3) RGB or (H, W) grey.

        Large pictures (4 megapixels at the network's input) go through the network in tiles, with the same result.
        Of huge ones (16 megapixels) the result holds labels only; `blocks` gives their logits part by part.

        Args:
            progress: called with the tiles done and all tiles, where there are tiles.

        Raises:
            DataError: the file cannot be read, or the array has another shape or type.
        """
        image = as_rgb(picture)
        size = image.shape[:2]
        if self._is_huge(size):
            labels = np.empty(size, np.uint8)
            for block in self.blocks(image, progress):
                labels[block.rows, block.columns] = block.logits.argmax(0).to(torch.uint8).numpy()
            return Result(image, None, self.labels, labels)
        if self._computed(size) > tiles.WHOLE_PIXELS:
            logits = torch.empty(self.labels.num_classes, *size)
            for block in self.blocks(image, progress):
                logits[:, block.rows, block.columns] = block.logits
            return Result(image, logits, self.labels)
        return Result(image, self.logits(image), self.labels)

    def _computed(self, size: tuple[int, ...]) -> int:
        return tiles.computed_pixels(self.bundle.model.config, *self.bundle.input_size.apply(*size))

    def _is_huge(self, size: tuple[int, ...]) -> bool:
        return math.prod(size) > tiles.LOGIT_PIXELS

    @torch.inference_mode()
    def logits(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """uint8 (H, W, 3) RGB -> float32 (C, H, W) logits on the CPU; the picture goes through in one piece."""
        height, width = image.shape[:2]
        logits = self._network(network_input(image, self.bundle.input_size, self.device))
        if logits.shape[-2:] != (height, width):
            logits = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
        return logits[0].cpu()

    @torch.inference_mode()
    def predict_labels(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 (N, H, W, 3) RGB -> uint8 (N, H, W): as one by one up to the rounding of floats, together faster.

        They go through in one piece: see `together` for how many that may be.
        """
        size = images.shape[1:3]
        if self.together(size) < 2:
            return np.stack([self(image).labels for image in images])
        logits = self._network(network_inputs(images, self.bundle.input_size, self.device))
        if logits.shape[-2:] != size:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        return logits.argmax(1).to(torch.uint8).cpu().numpy()

    def together(self, size: tuple[int, ...]) -> int:
        """How many pictures of (height, width) take as much memory as the largest that goes through in one piece."""
        pixels = max(math.prod(size), self._computed(size))
        return min(max(1, tiles.WHOLE_PIXELS // pixels), _MOST_TOGETHER)

    def frames(self, video: str | Path) -> Iterator[tuple[float, Result]]:
        """A video's frames, upright, each with its time in seconds; one is held at a time.

        Raises:
            DataError: not a video, or broken.
            UserError: the extra `video` is not installed.
        """
        from atonce.inference.video.reader import Video

        with Video(Path(video)) as opened:
            for frame in opened.frames():
                yield float(frame.time), self(frame.image)

    def video(self, source: str | Path, out: str | Path, opacity: float = 0.5, audio: bool = True) -> VideoReport:
        """Write a video with the classes' colours laid over it; more is in `predict.video.predict_video`."""
        from atonce.inference.video.overlay import predict_video

        return predict_video(self, Path(source), Path(out), opacity, audio)

    @torch.inference_mode()
    def blocks(self, image: NDArray[np.uint8], progress: Progress | None = None) -> Iterator[tiles.Block]:
        """uint8 (H, W, 3) RGB -> the logits part by part, computed in tiles; memory is bounded by the tile."""
        core, margin = tiles.core_side(self.model), tiles.margin(self.model.config)

        def network(pixels: torch.Tensor) -> torch.Tensor:
            return self._network(pixels.to(self.device)).cpu()

        yield from tiles.blocks(network, image, self.bundle.input_size, core=core, margin=margin, progress=progress)

    def _torch(self, pixels: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self._multiplied(pixels.contiguous(memory_format=torch.channels_last))
        return scores.float()


def usable_device(device: str | torch.device | None) -> torch.device:
    """A device by its name; None takes the first GPU, or the CPU. Raises UserError: unknown here, or not there."""
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        torch.empty(1, device=chosen).cpu()
    # torch says "not compiled with CUDA" by an assertion, "no such device" by one of several errors.
    except (RuntimeError, AssertionError, NotImplementedError, ValueError):
        gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        raise UserError(f"there is no device '{name}' here", f"one of {', '.join(['cpu', *gpus])}") from None
    return chosen


def network_input(image: NDArray[np.uint8], input_size: InputSize, device: torch.device | None = None) -> torch.Tensor:
    """uint8 (H, W, 3) RGB -> (1, 3, h, w), 0..255, at the size that the network sees."""
    return network_inputs(image[None], input_size, device)


def network_inputs(
    images: NDArray[np.uint8], input_size: InputSize, device: torch.device | None = None
) -> torch.Tensor:
    """uint8 (N, H, W, 3) RGB -> (N, 3, h, w), as `network_input`."""
    # A copy: Pillow hands out arrays that must not be written to, and torch warns of those.
    batch = torch.tensor(images).to(device).permute(0, 3, 1, 2)
    size = input_size.apply(*images.shape[1:3])
    if size == images.shape[1:3]:
        return batch
    return F.interpolate(batch.float(), size, mode="bilinear", align_corners=False, antialias=True)


def as_rgb(picture: Picture) -> NDArray[np.uint8]:
    """Whatever a caller has -> uint8 (H, W, 3) RGB. Raises DataError."""
    if isinstance(picture, (str, Path)):
        return read_image(Path(picture))
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
