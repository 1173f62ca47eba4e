"""A run folder at an address: what is there can be gone on with at any time, and a broken connection ends nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import atonce
from atonce.remote import local_copy, results_at
from atonce.training import Callback, TrainingRun
from atonce.training.losses import Losses
from tests.tiny import tiny_recipe


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty place in memory, and an empty cache."""
    monkeypatch.setenv("ATONCE_CACHE", str(tmp_path / "cache"))
    name = f"memory://{tmp_path.name}"
    yield name
    files, root = fsspec.core.url_to_fs(name)
    if files.exists(root):
        files.rm(root, recursive=True)


def names(address: str) -> set[str]:
    files, root = fsspec.core.url_to_fs(address)
    return {path.removeprefix(root).lstrip("/") for path in files.find(root)}


class TakeAway(Callback):
    """Copies what is at an address, as a machine that is taken away would leave it, after a step."""

    def __init__(self, step: int, address: str, to: str) -> None:
        self.step, self.address, self.to = step, address, to

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        files, root = fsspec.core.url_to_fs(self.address)
        for path in files.find(root) if run.progress.step == self.step else ():
            files.pipe(path.replace(root, fsspec.core.url_to_fs(self.to)[1]), files.cat(path))


class Notes(Callback):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_note(self, text: str) -> None:
        self.lines.append(text)


LONGER = ("train.steps=6", "train.validate_every=2", "train.save_every=2", "data.cache=disk")


def test_what_a_machine_leaves_can_be_gone_on_with(street_data: Path, bucket: str) -> None:
    taken = TakeAway(3, f"{bucket}/run", f"{bucket}/taken")
    atonce.train(street_data, recipe=tiny_recipe(*LONGER), out=f"{bucket}/run", callbacks=[taken], progress=False)
    there = names(f"{bucket}/taken")
    assert {"model.safetensors", "recipe.yaml", "state/state.safetensors"} <= there
    assert not [name for name in there if name.startswith("decoded/")]
    assert atonce.train(street_data, out=f"{bucket}/taken", resume=True, progress=False).steps == 6


def fail_at(monkeypatch: pytest.MonkeyPatch, first: int, last: int) -> None:
    """Let the connection break in some of the files that are brought to an address, counted from 1."""
    put, count = MemoryFileSystem.put_file, iter(range(1, 1000))

    def put_or_fail(self: Any, *words: Any, **options: Any) -> Any:
        if first <= next(count) <= last:
            raise ConnectionResetError("the peer is gone")
        return put(self, *words, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_or_fail)


def test_a_broken_connection_is_a_note_and_tried_again(
    street_data: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, 3, 3)
    notes = Notes()
    run = atonce.train(street_data, recipe=tiny_recipe(*LONGER), out=f"{bucket}/run", callbacks=[notes], progress=False)
    assert run.steps == 6
    (note,) = (line for line in notes.lines if "the peer is gone" in line)
    assert note.endswith("it is tried again when the next state is saved")
    assert {"report.html", "state/state.safetensors", "log.jsonl"} <= names(f"{bucket}/run")


def test_the_last_push_does_not_hide_what_went_wrong(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_at(monkeypatch, 1, 1000)
    with (
        pytest.warns(UserWarning, match="cannot be written .the peer is gone.*; what is not there yet is in"),
        pytest.raises(KeyboardInterrupt),
        results_at(f"{bucket}/out") as results,
    ):
        (results.folder / "log.txt").write_text("as far as it came")
        raise KeyboardInterrupt


def test_folders_of_use_here_only_stay_here(bucket: str) -> None:
    with results_at(f"{bucket}/out", leave_out=["decoded"]) as results:
        for name in ("decoded/1.npy", "labels/decoded/1.png"):
            (results.folder / name).parent.mkdir(parents=True)
            (results.folder / name).write_bytes(b"x")
    assert names(f"{bucket}/out") == {"labels/decoded/1.png"}


def test_processes_that_want_the_same_copy_take_turns(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As threads, whose locks on a file are as much apart as those of processes."""
    pytest.importorskip("fcntl", reason="no locks of this kind here")
    files, root = fsspec.core.url_to_fs(bucket)
    files.pipe(f"{root}/data/1.png", b"x")
    fetched: list[str] = []
    get = MemoryFileSystem.get_file

    def get_slowly(self: Any, remote: str, local: str, **options: Any) -> None:
        fetched.append(remote)
        time.sleep(0.2)
        get(self, remote, local, **options)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get_slowly)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(local_copy(f"{bucket}/data"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1
    assert [(path / "1.png").read_bytes() for path in found] == [b"x"] * 3
