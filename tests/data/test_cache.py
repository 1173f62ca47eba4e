"""Decoded pictures in files: the same bits, shared, bounded, whole or not there, and never those of other files."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from atonce.data import Dataset, Item, open_dataset
from atonce.data import cache as cache_module
from atonce.data.batches import BatchStream, decoded_bytes
from atonce.data.cache import Decoded, FileCache, settings_of
from atonce.data.input_size import InputSize
from atonce.training import Callback, TrainingRun, fit, run_training, set_up
from atonce.training.losses import Losses
from tests.data.streams import same, stream
from tests.tiny import log_of, tiny_recipe
from tests.training.comparisons import assert_same_tensors, without_times
from tests.training.sessions import CAN_FORK, forkserver, run_session

CAPACITY = 64 << 20


@pytest.fixture
def root(street_data: Path, tmp_path: Path) -> Path:
    """Pictures that may be changed."""
    return Path(shutil.copytree(street_data, tmp_path / "data"))


@pytest.fixture
def dataset(root: Path) -> Dataset:
    return open_dataset(root)


def file_cache(dataset: Dataset, folder: Path, capacity: int = CAPACITY, scale: float = 1.0) -> FileCache:
    cache = FileCache(folder, capacity, settings_of(dataset, InputSize(scale), 1.0))
    cache.tidy()
    return cache


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the items that are decoded from now on."""
    read: list[str] = []
    load = Dataset.load

    def count(self: Dataset, item: Item) -> Any:
        read.append(item.name)
        return load(self, item)

    monkeypatch.setattr(Dataset, "load", count)
    return read


def names(dataset: Dataset) -> list[str]:
    return sorted(item.name for item in dataset.split("train"))


def test_files_give_the_same_batches_and_are_made_once_for_all_processes(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = dict(stream(dataset).batches(0, 6))
    read = counting(monkeypatch)
    first = dict(stream(dataset, workers=1, cache=file_cache(dataset, tmp_path / "c")).batches(0, 6))
    assert all(same(expected[step], first[step]) for step in expected)
    assert sorted(read) == names(dataset)
    # Another process, or the next session of the run.
    second = dict(stream(dataset, workers=4, cache=file_cache(dataset, tmp_path / "c")).batches(0, 6))
    assert all(same(expected[step], second[step]) for step in expected)
    assert sorted(read) == names(dataset)


def test_shrunk_pictures_come_back_with_the_size_they_are_meant_for(dataset: Dataset, tmp_path: Path) -> None:
    size = InputSize(0.5)
    expected = dict(stream(dataset, input_size=size).batches(0, 3))
    for _ in range(2):
        cache = file_cache(dataset, tmp_path / "c", scale=0.5)
        again = dict(stream(dataset, input_size=size, cache=cache).batches(0, 3))
        assert all(same(expected[step], again[step]) for step in expected)
    assert expected[0].sizes[0] == (24, 32)


@pytest.mark.parametrize("which", ["image", "mask"])
def test_a_file_that_changes_is_decoded_anew_even_if_its_size_and_time_are_the_same(
    dataset: Dataset, tmp_path: Path, which: str
) -> None:
    item = dataset.split("train")[0]
    assert isinstance(item.mask, Path)
    # A bitmap is as large whatever is in it.
    changed = tmp_path / "changed.bmp"
    Image.fromarray(np.array(Image.open(item.image if which == "image" else item.mask))).save(changed)
    item = Item(item.name, changed, item.mask) if which == "image" else Item(item.name, item.image, changed)
    dataset = Dataset(
        format=dataset.format,
        root=dataset.root,
        labels=dataset.labels,
        splits={"train": (item,)},
        read_mask=dataset.read_mask,
    )
    (_, before), *_ = stream(dataset, batch_size=1, cache=file_cache(dataset, tmp_path / "c")).batches(0, 1)
    about = changed.stat()
    content = bytearray(changed.read_bytes())
    content[-100] = 3 if content[-100] != 3 else 4
    changed.write_bytes(content)
    os.utime(changed, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert changed.stat().st_size == about.st_size
    (_, after), *_ = stream(dataset, batch_size=1, cache=file_cache(dataset, tmp_path / "c")).batches(0, 1)
    assert not same(before, after)
    (_, fresh), *_ = stream(dataset, batch_size=1).batches(0, 1)
    assert same(after, fresh)
    assert len(files(tmp_path / "c")) == 1, "the outdated file is replaced"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_other_settings_use_nothing_of_it_and_clear_it_away(
    dataset: Dataset, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(stream(dataset, cache=file_cache(dataset, tmp_path / "c")).batches(0, 3))
    before = files(tmp_path / "c")
    size = InputSize(0.5)
    list(stream(dataset, input_size=size, cache=file_cache(dataset, tmp_path / "c", scale=0.5)).batches(0, 3))
    assert len(files(tmp_path / "c")) == 6
    assert not set(before) & set(files(tmp_path / "c"))
    # What a mask's values mean may change while the mask does not.
    about = yaml.safe_load((root / "classes.yaml").read_text())
    about["classes"].reverse()
    (root / "classes.yaml").write_text(yaml.safe_dump(about))
    other = open_dataset(root)
    assert other.labels.names == dataset.labels.names[::-1]
    assert settings_of(other, size, 1.0) != settings_of(dataset, size, 1.0)
    settings = settings_of(other, size, 1.0)
    assert settings_of(open_dataset(root), size, 1.0) == settings
    monkeypatch.setattr(cache_module, "__version__", "99")
    assert settings_of(other, size, 1.0) != settings


def test_it_keeps_no_more_than_its_capacity(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = dict(stream(dataset).batches(0, 6))
    # Two and a half pictures of 48x64 and their headers.
    cache = file_cache(dataset, tmp_path / "c", capacity=5 * 48 * 64 * 4 // 2)
    read = counting(monkeypatch)
    actual = dict(stream(dataset, workers=1, cache=cache).batches(0, 6))
    assert all(same(expected[step], actual[step]) for step in expected)
    assert len(files(tmp_path / "c")) == 2
    assert sum(path.stat().st_size for path in files(tmp_path / "c")) <= cache.capacity
    assert len(read) > 6
    assert cache.failure() is None, "a cache that is full does what it should"


def test_what_other_processes_have_written_counts(dataset: Dataset, tmp_path: Path) -> None:
    capacity = decoded_bytes({(64, 48): 3}, InputSize(), 1.0) + 3000
    caches = [file_cache(dataset, tmp_path / "c", capacity) for _ in range(3)]
    for rank, cache in enumerate(caches):
        list(stream(dataset, workers=1, rank=rank, world=4, cache=cache).batches(0, 6))
    assert len(files(tmp_path / "c")) == 3


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda _: b"",
    "something else": lambda _: b"this is no picture" * 100,
    "without a source": lambda content: content.replace(b'"source"', b'"sauce!"'),
    "of another size": lambda content: content.replace(b'"target":"48 64"', b'"target":"48_64"'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_made_again(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    expected = dict(stream(dataset).batches(0, 3))
    list(stream(dataset, cache=file_cache(dataset, tmp_path / "c")).batches(0, 3))
    victim = files(tmp_path / "c")[0]
    content = victim.read_bytes()
    assert damage(content) != content
    victim.write_bytes(damage(content))
    read = counting(monkeypatch)
    for _ in range(2):
        actual = dict(stream(dataset, workers=1, cache=file_cache(dataset, tmp_path / "c")).batches(0, 3))
        assert all(same(expected[step], actual[step]) for step in expected)
        assert len(read) == 1


def test_many_threads_may_meet_the_same_picture(dataset: Dataset, tmp_path: Path) -> None:
    """A batch larger than the data holds each picture several times."""
    expected = dict(stream(dataset, batch_size=24).batches(0, 2))
    cache = file_cache(dataset, tmp_path / "c")
    actual = dict(stream(dataset, batch_size=24, workers=8, cache=cache).batches(0, 2))
    assert all(same(expected[step], actual[step]) for step in expected)
    assert len(files(tmp_path / "c")) == 6
    assert cache.failure() is None


def test_one_thread_writes_a_picture_at_a_time(dataset: Dataset, tmp_path: Path) -> None:
    cache, item = file_cache(dataset, tmp_path / "c"), dataset.split("train")[0]
    inside, go = threading.Event(), threading.Event()
    written: list[Item] = []

    def slow(item: Item, decoded: Decoded) -> None:
        written.append(item)
        inside.set()
        assert go.wait(10)

    cache._write = slow  # type: ignore[method-assign]
    picture = Decoded(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8), (2, 2))
    thread = threading.Thread(target=cache.put, args=(item, picture))
    thread.start()
    assert inside.wait(10)
    cache.put(item, picture)
    go.set()
    thread.join()
    cache.put(item, picture)
    assert len(written) == 2


class Notes(Callback):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)


DISK = ("data.cache=disk", "train.steps=12", "train.validate_every=12")


@pytest.fixture(scope="module")
def in_memory(street_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("memory") / "run"
    run_training(tiny_recipe(*DISK, "data.cache=memory"), street_data, out)
    return out


def assert_same_run(run: Path, other: Path) -> None:
    assert without_times(log_of(run)) == without_times(log_of(other))
    assert_same_tensors(run / "last.safetensors", other / "last.safetensors")


def test_a_run_with_files_is_the_run_without_and_leaves_none(
    street_data: Path, in_memory: Path, tmp_path: Path
) -> None:
    seen: list[int] = []

    class Looking(Callback):
        def on_step(self, run: TrainingRun, losses: Losses) -> None:
            seen.append(len(files(tmp_path / "run" / "decoded")))

    run_training(tiny_recipe(*DISK), street_data, tmp_path / "run", callback=Looking())
    assert seen[-1] == 6
    assert not (tmp_path / "run" / "decoded").exists()
    assert_same_run(tmp_path / "run", in_memory)


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    replace = Path.replace

    def refusing(self: Path, target: Path) -> Path:
        if Path(target).parent.parent.name == "decoded":
            raise OSError(number, os.strerror(number))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refusing)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_is_told_once_and_training_goes_on(
    street_data: Path, in_memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse(monkeypatch, number)
    callback = Notes()
    run_training(tiny_recipe(*DISK), street_data, tmp_path / "run", callback=callback)
    told = [note for note in callback.notes if "no longer kept" in note]
    assert len(told) == 1
    assert os.strerror(number) in told[0]
    assert "decoded anew in every epoch" in told[0]
    assert_same_run(tmp_path / "run", in_memory)


def test_space_is_left_on_the_disk_for_the_state(
    street_data: Path, in_memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=(2 << 30) + 4 * 48 * 64 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    callback = Notes()
    run_training(tiny_recipe(*DISK), street_data, tmp_path / "run", callback=callback)
    assert [note for note in callback.notes if "the disk has 2048 MiB left" in note]
    assert_same_run(tmp_path / "run", in_memory)


def test_too_little_capacity_is_told_before_the_training(street_data: Path, tmp_path: Path) -> None:
    callback = Notes()
    recipe = tiny_recipe("data.cache_mib=1", "data.cache=disk")
    set_up(recipe, street_data, tmp_path / "small", resume=False, callback=callback)
    assert not any("decoded pictures take" in note for note in callback.notes)
    data = tmp_path / "large"
    shutil.copytree(street_data, data)
    for kind in ("images", "masks"):
        for path in (data / "train" / kind).iterdir():
            Image.open(path).resize((400, 300), Image.Resampling.NEAREST).save(path)
    set_up(recipe, data, tmp_path / "disk", resume=False, callback=callback)
    assert "decoded pictures take 2 MiB, data.cache_mib has room for 1" in callback.notes[-1]
    assert "data.cache=disk" not in callback.notes[-1]
    set_up(tiny_recipe("data.cache_mib=1"), data, tmp_path / "memory", resume=False, callback=callback)
    assert "data.cache=disk and more room keep them in files" in callback.notes[-1]


@pytest.mark.skipif(not CAN_FORK, reason="processes cannot be forked here")
@pytest.mark.parametrize("where", ["fsync", "half", "replace"])
def test_killed_while_files_are_written_it_ends_with_the_same_bits(
    street_data: Path, in_memory: Path, tmp_path: Path, where: str
) -> None:
    processes, recipe, run = forkserver(), tiny_recipe(*DISK), tmp_path / "run"
    # The first file is recipe.yaml; the next ones are decoded pictures.
    for count in (3, 4):
        assert not run_session(processes, recipe, street_data, run, fault=(where, count))
        assert files(run / "decoded"), "it was killed elsewhere"
    assert run_session(processes, recipe, street_data, run)
    assert_same_run(run, in_memory)
    assert not list(run.rglob(".*.tmp*"))


def test_the_share_of_waiting_is_that_of_waiting_and_updates(street_data: Path, tmp_path: Path) -> None:
    run = set_up(tiny_recipe(), street_data, tmp_path / "run", resume=False, callback=Callback())
    assert run.waited is None
    fit(run, Callback())
    assert run.update_seconds > 0
    assert run.waited == pytest.approx(run.stream.waited / (run.stream.waited + run.update_seconds))
    run.update_seconds, run.stream.waited = 9.0, 1.0
    assert run.waited == 0.1


def test_another_cache_clears_the_files_away(street_data: Path, tmp_path: Path) -> None:
    run = set_up(tiny_recipe(*DISK), street_data, tmp_path / "run", resume=False, callback=Callback())
    list(run.stream.batches(0, 3))
    run.save_state()
    assert files(tmp_path / "run" / "decoded")
    assert isinstance(run.stream, BatchStream)
    run.lock.release()
    set_up(tiny_recipe(*DISK, "data.cache=memory"), street_data, tmp_path / "run", resume=True, callback=Callback())
    assert not (tmp_path / "run" / "decoded").exists()
