"""Data loading alone: from files to batches as a training gets them, without a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from atonce.data import open_dataset
from atonce.data.augmentation import augment
from atonce.data.batches import BatchStream
from atonce.data.cache import Cache, FileCache, MemoryCache, settings_of
from atonce.data.input_size import InputSize
from atonce.recipes import load_recipe
from atonce.streets import write_streets
from benchmarks.results import Section
from benchmarks.timing import Clock, Repetitions, take_turns
from benchmarks.workers import Contestant, crew

BATCH = 8
DECODED, CACHED = "decoded, augmented", "from the cache"
ROOM = 4 << 30
"""Of the caches, bytes: more than a repetition's pictures need."""

NOTE = (
    "{what}, batches of {batch}, threads and augmentation of the recipe `camvid`, augmented on the CPU. `decoded` "
    "reads the files each time, as the first epoch does (they are in the system's file cache); `from the cache` finds "
    "them decoded, in memory or in memory-mapped files (`data.cache`), as all later epochs do."
)


@dataclass(frozen=True)
class Streets:
    """Generated pictures to read, where there is no other data set.

    Attributes:
        size: (height, width).
        count: of training pictures; also of what a repetition reads of any data set.
        crop: (height, width) that they are augmented to; None takes the recipe's.
    """

    size: tuple[int, int] = (360, 480)
    count: int = 32
    crop: tuple[int, int] | None = None


class Reading:
    """Batches of the recipe `camvid` without their network.

    Args:
        data: a data set with masks.
        cache: "" decodes anew; "memory" and "disk" keep decoded pictures as data.cache says.
        folder: for the files of "disk".
        augmented: at the end a float batch on the CPU, as the network takes it; otherwise uint8.
        crop: (height, width) of what is augmented; None takes the recipe's.
    """

    def __init__(
        self, data: Path, seed: int, folder: Path, crop: tuple[int, int] | None, cache: str, augmented: bool
    ) -> None:
        self.recipe = load_recipe("camvid")
        self.augmented, self.seed, self.crop = augmented, seed, crop or self.recipe.data.crop
        dataset = open_dataset(data)
        knobs, zoom = self.recipe.data, self.recipe.augment.scale[1]
        size = InputSize(knobs.scale, knobs.max_side)
        kept: Cache | None = MemoryCache(ROOM) if cache == "memory" else None
        if cache == "disk":
            kept = FileCache(folder, ROOM, settings_of(dataset, size, zoom))
            kept.tidy()
        self.stream = BatchStream(
            dataset,
            dataset.split("train"),
            batch_size=BATCH,
            seed=seed,
            input_size=size,
            max_zoom=zoom,
            workers=knobs.workers,
            cache=kept,
        )

    def prepare(self, case: int) -> partial[None]:
        return partial(self._read, case)

    def _read(self, pictures: int) -> None:
        fill, cpu = torch.zeros(3), torch.device("cpu")
        for _, batch in self.stream.batches(0, -(-pictures // BATCH)):
            if self.augmented:
                augment(batch, self.recipe.augment, crop=self.crop, seed=self.seed, fill=fill, device=cpu)


def run(
    data: Path | None, streets: Streets, folder: Path, seed: int, clock: Clock, repetitions: Repetitions
) -> Section:
    """Read `data`, or streets that are written into `folder` first, which also takes what is cached on disk."""
    what = f"{streets.count} pictures of {data}"
    if data is None:
        data = write_streets(folder / "streets", train=streets.count, val=1, seed=seed, size=streets.size)
        what = f"{streets.count} generated streets of {streets.size[0]}x{streets.size[1]} (PNG)"
    section = Section("data", "Data loading alone", NOTE.format(what=what, batch=BATCH))
    ways = {
        "decoded": ("", False),
        DECODED: ("", True),
        CACHED: ("memory", False),
        f"{CACHED}, augmented": ("memory", True),
        f"{CACHED} on disk": ("disk", False),
    }
    makers: dict[str, Callable[[], Contestant]] = {
        name: partial(Reading, data, seed, folder / "decoded", streets.crop, *way) for name, way in ways.items()
    }
    failed: dict[str, str] = {}
    with crew(makers, failed) as runners:
        found = take_turns(runners, streets.count, repetitions, 0.6 * clock.left("data"), failed)
    section.add("training split", found, pictures=-(-streets.count // BATCH) * BATCH)
    section.lose("training split", failed)
    return section
