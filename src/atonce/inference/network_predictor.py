"""A model file as a predictor: its network runs in torch, or is converted in memory for a faster engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from atonce.adaptive_threads import AdaptiveThreads
from atonce.data.input_size import InputSize
from atonce.devices import usable_device
from atonce.inference import tiles
from atonce.inference.engines import IN_TORCH, EngineName, Network, accelerated, engines_for
from atonce.inference.fastest_engine import SIZE, fastest_engine
from atonce.inference.pixel_limit import computed_pixels
from atonce.inference.predictor import Predictor
from atonce.inference.result import Result
from atonce.model_file import ModelFile
from atonce.progress import ProgressCallback

_LARGEST_BATCH = 8
"""Pictures that go through the network at once; more gain little."""


class NetworkPredictor(Predictor):
    """A `Predictor` of a `ModelFile`.

    Args:
        device: "cpu", "cuda", ...; None takes the first GPU, or the CPU, see `default_device`.
        engine: as of `atonce.load`.

    Raises:
        UserError: there is no such device or engine, or the engine is not installed.
    """

    def __init__(
        self, model_file: ModelFile, *, device: str | torch.device | None = None, engine: str | None = None
    ) -> None:
        self.model_file, self.labels = model_file, model_file.labels
        engines = engines_for(engine, device)
        self.device = usable_device(device if engines[0] in IN_TORCH else "cpu")
        network = model_file.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = network.eval()
        self._torch_network = self.model
        # On a GPU, the number of threads is not what the time goes by.
        self._threads = AdaptiveThreads(fixed=None if self.device.type == "cpu" else True)
        self.engine = fastest_engine(engines, self._what_takes_time(), self._one_run)
        if self.engine == "torch-bf16":
            self._torch_network = self.model.bf16_copy()
        self._network = self._open(self.engine)

    def segment(self, image: NDArray[np.uint8], progress: ProgressCallback | None = None) -> Result:
        """Segment one picture, see `Predictor`.

        Large pictures (4 megapixels at the network's input) go through the network in tiles, with the same result.
        Of huge ones (16 megapixels) the result holds labels only; `blocks` gives their logits part by part.
        """
        size = image.shape[:2]
        if math.prod(size) > tiles.LOGIT_PIXELS:
            labels = np.empty(size, np.uint8)
            for block in self.blocks(image, progress):
                labels[block.rows, block.columns] = block.logits.argmax(0).to(torch.uint8).numpy()
            return Result(image, self.labels, labels=labels)
        if self._computed_pixels(size) > tiles.WHOLE_PIXELS:
            logits = torch.empty(self.labels.num_classes, *size)
            for block in self.blocks(image, progress):
                logits[:, block.rows, block.columns] = block.logits
            return Result(image, self.labels, logits=logits)
        return Result(image, self.labels, logits=self.logits(image))

    @property
    def computes_in_calling_thread(self) -> bool:
        """True where torch computes on the CPU, with the threads that the calling thread has set."""
        return self.device.type == "cpu" and self.engine in IN_TORCH

    @torch.inference_mode()
    def segment_together(self, images: Sequence[NDArray[np.uint8]]) -> list[Result]:
        """Segment pictures of one size, see `Predictor`."""
        if len(images) < 2 or self.batch_size_for(images[0].shape[:2]) < len(images):
            return [self.segment(image) for image in images]
        logits = self._logits(np.stack(images))
        return [Result(image, self.labels, logits=one) for image, one in zip(images, logits, strict=True)]

    @torch.inference_mode()
    def logits(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Compute logits in one piece: uint8 (H, W, 3) RGB -> float32 (C, H, W) on the CPU."""
        return self._logits(image[None])[0]

    def _logits(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Compute logits of a batch: uint8 (N, H, W, 3) RGB -> float32 (N, C, H, W) on the CPU."""
        return self._batch_logits(images).cpu()

    @torch.inference_mode()
    def predict_labels(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Segment a batch, see `Predictor`."""
        size = images.shape[1:3]
        if self.batch_size_for(size) < 2:
            return np.stack([self.segment(image).labels for image in images])
        return self._batch_logits(images).argmax(1).to(torch.uint8).cpu().numpy()

    def batch_size_for(self, size: tuple[int, ...]) -> int:
        """Return the number of pictures of (height, width) in a batch, 1 to 8."""
        return batch_size(self.model_file, size)

    @torch.inference_mode()
    def blocks(self, image: NDArray[np.uint8], progress: ProgressCallback | None = None) -> Iterator[tiles.Block]:
        """Yield the logits of uint8 (H, W, 3) RGB part by part, computed in tiles; memory is bounded by the tile."""
        core, margin = tiles.core_side(self.model), tiles.margin(self.model.config)
        rule = self.model_file.input_size
        yield from tiles.blocks(self._on_cpu, image, rule, core=core, margin=margin, progress=progress)

    def _batch_logits(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Compute logits of pictures of one size: uint8 (N, H, W, 3) RGB -> float32 (N, C, H, W) on the device."""
        size = images.shape[1:3]
        logits = self._network(network_inputs(images, self.model_file.input_size, self.device))
        if logits.shape[-2:] != size:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        return logits

    def _open(self, engine: EngineName) -> Network:
        return self._run_torch if engine in IN_TORCH else accelerated(self.model, engine)

    def _what_takes_time(self) -> dict[str, Any]:
        """Return what the operations depend on: factors and how a network began make none."""
        shape = self.model.config.model_dump(include={"stride", "alignment", "width", "head_width"})
        return {**shape, "classes": self.model.num_classes, "size": self.model_file.input_size.apply(*SIZE)}

    def _one_run(self, engine: EngineName) -> Callable[[], object]:
        self.require_few_pixels(SIZE, "the picture by which engines are measured")
        network, picture = self._open(engine), np.zeros((1, *SIZE, 3), np.uint8)
        pixels = network_inputs(picture, self.model_file.input_size, self.device)

        def run() -> object:
            with torch.inference_mode():
                return network(pixels)

        return run

    def _on_cpu(self, pixels: torch.Tensor) -> torch.Tensor:
        """Run the network on pixels of the CPU, back to the CPU."""
        return self._network(pixels.to(self.device)).cpu()

    def _computed_pixels(self, size: tuple[int, ...]) -> int:
        return computed_pixels(self.model_file, size)

    def _run_torch(self, pixels: torch.Tensor) -> torch.Tensor:
        with self._threads.work(pixels.numel()):
            scores: torch.Tensor = self._torch_network(pixels.contiguous(memory_format=torch.channels_last))
            return scores.float()


def batch_size(model_file: ModelFile, size: tuple[int, ...]) -> int:
    """Return how many pictures of (height, width) take as much memory as the largest that goes through in one piece."""
    pixels = max(math.prod(size), computed_pixels(model_file, size))
    return min(max(1, tiles.WHOLE_PIXELS // pixels), _LARGEST_BATCH)


def network_input(image: NDArray[np.uint8], input_size: InputSize, device: torch.device | None = None) -> torch.Tensor:
    """Resize a picture to what the network sees: uint8 (H, W, 3) RGB -> (1, 3, h, w), values 0..255."""
    return network_inputs(image[None], input_size, device)


def network_inputs(
    images: NDArray[np.uint8], input_size: InputSize, device: torch.device | None = None
) -> torch.Tensor:
    """Resize a batch to what the network sees: uint8 (N, H, W, 3) RGB -> (N, 3, h, w), values 0..255."""
    # A copy: Pillow hands out arrays that must not be written to, of which torch warns; negative strides it refuses.
    batch = torch.tensor(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2)
    size = input_size.apply(*images.shape[1:3])
    if size == images.shape[1:3]:
        return batch
    return F.interpolate(batch.float(), size, mode="bilinear", align_corners=False, antialias=True)
