"""Training batches, a data loader: the order in which pictures come, and the threads that decode them ahead."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from atonce.data.cache import Cache, Decoded, MemoryCache
from atonce.data.dataset import Dataset, Item
from atonce.data.input_size import InputSize
from atonce.labels import IGNORE_INDEX

Size = tuple[int, int]

_PREFETCHED = 2
"""Batches that are being decoded while one is trained on."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Decoded samples on one canvas, as large as the largest of them.

    Attributes:
        images: uint8 (N, 3, H, W) RGB; outside a picture 0.
        masks: uint8 (N, H, W); outside a picture 255.
        sizes: height and width of each picture on the canvas.
        targets: height and width at which the network is meant to see each picture, before augmentation.
        positions: position of each sample in the run's endless order; whatever is random about a sample follows it.
    """

    images: Tensor
    masks: Tensor
    sizes: tuple[Size, ...]
    targets: tuple[Size, ...]
    positions: tuple[int, ...]

    def part(self, start: int, stop: int) -> Batch:
        """The samples start..stop-1, on the same canvas; nothing is copied."""
        cut = slice(start, stop)
        return Batch(
            images=self.images[cut],
            masks=self.masks[cut],
            sizes=self.sizes[cut],
            targets=self.targets[cut],
            positions=self.positions[cut],
        )


class BatchStream:
    """The endless order of training samples, and this process's share of every batch.

    Each epoch is a permutation that follows from the seed and the epoch alone. So a step's batch is the same
    however many processes share it and wherever a run resumes.

    Args:
        dataset: decodes the items.
        items: the training samples.
        batch_size: samples of a batch, over all processes; a multiple of `world`.
        seed: decides the permutations.
        input_size: the size at which the network sees a picture.
        max_zoom: largest zoom of the augmentation; pictures are decoded no larger than it can use.
        rank: number of this process, 0 to world - 1.
        world: how many processes share each batch.
        workers: threads that decode; Pillow and zlib release Python's lock while they work.
        cache: keeps decoded pictures, which come again every epoch; None decodes them anew.
        note: called once, with one line, where the cache cannot go on.

    Attributes:
        waited: seconds that the consumer has waited for data so far.
    """

    def __init__(
        self,
        dataset: Dataset,
        items: Sequence[Item],
        *,
        batch_size: int,
        seed: int,
        input_size: InputSize,
        max_zoom: float = 1.0,
        rank: int = 0,
        world: int = 1,
        workers: int = 2,
        cache: Cache | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.dataset, self.items, self.batch_size, self.seed = dataset, items, batch_size, seed
        self.input_size, self.max_zoom = input_size, max_zoom
        self.share = batch_size // world
        self.offset = rank * self.share
        self.workers = max(1, workers)
        self.cache, self.note = cache or MemoryCache(0), note
        self.waited = 0.0

    def item(self, position: int) -> Item:
        """The sample at a position of the endless order."""
        epoch, index = divmod(position, len(self.items))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.items))
        return self.items[int(order[index])]

    def batches(self, start: int, stop: int) -> Iterator[tuple[int, Batch]]:
        """Yield pairs of step and batch for the steps start..stop-1. Raises DataError when a sample cannot be read."""
        prefetched: deque[tuple[int, list[Future[Decoded]]]] = deque()
        with ThreadPoolExecutor(self.workers, "decode") as pool:
            try:
                for step in range(start, stop):
                    prefetched.append((step, [pool.submit(self._decode, p) for p in self._positions(step)]))
                    if len(prefetched) > _PREFETCHED:
                        yield self._await_batch(*prefetched.popleft())
                while prefetched:
                    yield self._await_batch(*prefetched.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _await_batch(self, step: int, futures: list[Future[Decoded]]) -> tuple[int, Batch]:
        began = time.perf_counter()
        batch = _collate([future.result() for future in futures], self._positions(step))
        self.waited += time.perf_counter() - began
        if reason := self.cache.failure():
            self.note(reason)
        return step, batch

    def _positions(self, step: int) -> range:
        first = step * self.batch_size + self.offset
        return range(first, first + self.share)

    def _decode(self, position: int) -> Decoded:
        item = self.item(position)
        if kept := self.cache.get(item):
            return kept
        sample = self.dataset.load(item)
        assert sample.mask is not None, f"{sample.name} has no mask"
        size, target = _decoded_and_target_size(sample.mask.shape, self.input_size, self.max_zoom)
        decoded = Decoded(*_resize(sample.image, sample.mask, size), target)
        self.cache.put(item, decoded)
        return decoded


def decoded_bytes(sizes: Mapping[Size, int], input_size: InputSize, max_zoom: float) -> int:
    """Compute the bytes that decoded pictures and masks take.

    Args:
        sizes: (width, height) of the pictures -> how many of them.
        input_size, max_zoom: as for `BatchStream`.
    """
    total = 0
    for (width, height), count in sizes.items():
        size, _ = _decoded_and_target_size((height, width), input_size, max_zoom)
        total += 4 * size[0] * size[1] * count
    return total


def _decoded_and_target_size(shape: tuple[int, ...], input_size: InputSize, max_zoom: float) -> tuple[Size, Size]:
    """Height and width of a picture -> those at which it is decoded, no larger than augmentation can use, and those at
    which the network is meant to see it."""
    height, width = shape
    target = input_size.apply(height, width)
    decoded = max(1, min(height, round(target[0] * max_zoom))), max(1, min(width, round(target[1] * max_zoom)))
    return decoded, target


def _resize(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], size: Size
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Shrink a picture with antialiasing and its mask by picking values: ids are never mixed."""
    if mask.shape == size:
        return image, mask
    extent = (size[1], size[0])
    smaller = Image.fromarray(image).resize(extent, Image.Resampling.BILINEAR)
    return np.asarray(smaller), np.asarray(Image.fromarray(mask).resize(extent, Image.Resampling.NEAREST))


def _collate(samples: Sequence[Decoded], positions: Sequence[int]) -> Batch:
    height = max(s.mask.shape[0] for s in samples)
    width = max(s.mask.shape[1] for s in samples)
    images = torch.zeros(len(samples), 3, height, width, dtype=torch.uint8)
    masks = torch.full((len(samples), height, width), IGNORE_INDEX, dtype=torch.uint8)
    for row, sample in enumerate(samples):
        h, w = sample.mask.shape
        images[row, :, :h, :w] = torch.from_numpy(sample.image.copy()).permute(2, 0, 1)
        masks[row, :h, :w] = torch.from_numpy(sample.mask.copy())
    sizes = tuple((s.mask.shape[0], s.mask.shape[1]) for s in samples)
    return Batch(
        images=images, masks=masks, sizes=sizes, targets=tuple(s.target for s in samples), positions=tuple(positions)
    )
