"""The order of samples, and every process's share of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from atonce.data import Dataset, Item, Sample, open_dataset
from atonce.data.batches import BatchStream, decoded_bytes
from atonce.data.cache import MemoryCache
from atonce.data.input_size import InputSize
from atonce.errors import DataError
from tests.data import trees
from tests.data.streams import same, stream


@pytest.fixture
def dataset(street_data: Path) -> Dataset:
    return open_dataset(street_data)


def test_each_epoch_is_another_permutation(dataset: Dataset) -> None:
    order = [[stream(dataset).item(e * 6 + i).name for i in range(6)] for e in range(8)]
    names = sorted(item.name for item in dataset.split("train"))
    assert all(sorted(epoch) == names for epoch in order)
    assert len({tuple(epoch) for epoch in order}) > 4


def test_the_seed_decides_the_order(dataset: Dataset) -> None:
    orders = {tuple(stream(dataset, seed=seed).item(i).name for i in range(12)) for seed in (0, 0, 1, 2)}
    assert len(orders) == 3


def test_the_shares_of_the_processes_make_up_the_batch(dataset: Dataset) -> None:
    whole = dict(stream(dataset).batches(0, 5))
    shares = [dict(stream(dataset, rank=rank, world=2).batches(0, 5)) for rank in range(2)]
    for step, batch in whole.items():
        assert same(batch.part(0, 2), shares[0][step])
        assert same(batch.part(2, 4), shares[1][step])


@pytest.mark.parametrize("start", [1, 2, 4])
def test_from_any_step_the_batches_are_the_same(dataset: Dataset, start: int) -> None:
    whole = dict(stream(dataset).batches(0, 6))
    resumed = dict(stream(dataset, workers=4).batches(start, 6))
    assert list(resumed) == list(range(start, 6))
    assert all(same(batch, whole[step]) for step, batch in resumed.items())


def test_a_batch_holds_what_lies_on_the_disk(dataset: Dataset) -> None:
    source = stream(dataset)
    (_, batch), *_ = source.batches(0, 1)
    for row, position in enumerate(batch.positions):
        sample = dataset.load(source.item(position))
        assert np.array_equal(batch.images[row].permute(1, 2, 0), sample.image)
        assert sample.mask is not None
        assert np.array_equal(batch.masks[row], sample.mask)


def test_a_batch_may_be_larger_than_the_data(dataset: Dataset) -> None:
    (_, batch), *_ = stream(dataset, batch_size=16).batches(0, 1)
    assert len(batch.images) == 16


def test_pictures_of_many_sizes_share_a_canvas(tmp_path: Path) -> None:
    for i, size in enumerate([(20, 10), (8, 30), (1, 1), (24, 24)]):
        trees.save(tmp_path / "images" / f"{i}.png", trees.picture(i, size))
        trees.save(tmp_path / "masks" / f"{i}.png", np.full((size[1], size[0]), i % 3, np.uint8))
    dataset = open_dataset(tmp_path)
    items = [item for split in dataset.splits.values() for item in split]
    source = BatchStream(dataset, items, batch_size=4, seed=0, input_size=InputSize(0.5), max_zoom=0.3)
    (_, batch), *_ = source.batches(0, 1)
    assert batch.images.shape[2:] == batch.masks.shape[1:]
    assert all(min(size) >= 1 for size in batch.sizes)
    for row, (height, width) in enumerate(batch.sizes):
        assert bool((batch.masks[row, height:] == 255).all())
        assert bool((batch.masks[row, :, width:] == 255).all())
        assert bool((batch.masks[row, :height, :width] != 255).all())


def test_masks_are_shrunk_by_picking_never_by_mixing(tmp_path: Path) -> None:
    for i in range(3):
        trees.save(tmp_path / "images" / f"{i}.png", trees.picture(i, (60, 60)))
        trees.save(tmp_path / "masks" / f"{i}.png", trees.ids(i, (0, 7, 255), (60, 60)))
    trees.save(tmp_path / "masks" / "2.png", trees.ids(2, range(8), (60, 60)))
    dataset = open_dataset(tmp_path)
    for _, batch in stream(dataset, batch_size=1, input_size=InputSize(0.37)).batches(0, 4):
        assert batch.sizes == ((22, 22),)
        assert set(batch.masks.unique().tolist()) <= {*range(8), 255}


def test_an_error_in_a_worker_reaches_the_training(street_data: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(street_data, tmp_path / "data"))
    dataset = open_dataset(root)
    victim = stream(dataset).item(5)
    victim.image.write_bytes(b"gone bad in the meantime")
    seen = []
    with pytest.raises(DataError, match=f"{victim.image.name} is not a picture"):
        for step, _ in stream(dataset).batches(0, 5):
            seen.append(step)
    assert seen == [0], "batches before the broken one are delivered"


def test_the_waiting_is_counted(dataset: Dataset) -> None:
    source = stream(dataset)
    list(source.batches(0, 2))
    assert source.waited > 0


def test_kept_pictures_are_the_same_and_read_once(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = dict(stream(dataset).batches(0, 6))
    read: list[str] = []
    load = Dataset.load

    def counting(self: Dataset, item: Item) -> Sample:
        read.append(item.name)
        return load(self, item)

    monkeypatch.setattr(Dataset, "load", counting)
    kept = dict(stream(dataset, workers=1, cache=MemoryCache(64 << 20)).batches(0, 6))
    assert all(same(expected[step], kept[step]) for step in expected)
    assert sorted(read) == sorted({item.name for item in dataset.split("train")})


def test_what_does_not_fit_is_read_again(dataset: Dataset) -> None:
    cache = MemoryCache(decoded_bytes({(64, 48): 2}, InputSize(), 1.0))
    expected = dict(stream(dataset).batches(0, 6))
    actual = dict(stream(dataset, workers=1, cache=cache).batches(0, 6))
    assert all(same(expected[step], actual[step]) for step in expected)
    assert len(cache.kept) == 2
    assert cache.free == 0
