"""Files are whole or as they were before."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import unicodedata
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from atonce.errors import StorageError, UserError
from atonce.storage import (
    distinct_folder_names,
    make_folder,
    nan_to_none,
    none_to_nan,
    remove_temporaries,
    sha256_of,
    storage_errors,
    write_atomically,
    write_text,
)


def test_a_file_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "grün")
    assert (tmp_path / "a.txt").read_bytes() == "grün".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("a bug"), KeyboardInterrupt()]
)
def test_a_failure_in_the_middle_leaves_the_file_as_it_was(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise failure

    expected = StorageError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        write_atomically(path, write)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        assert temporary.parent == path.parent, "a rename across file systems is a copy"
        assert temporary.suffix == ".txt", "libraries choose the format by it"
        temporary.write_text("new")
        assert path.read_text() == "old"

    write_atomically(path, write)
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EROFS, "can be written"),
        (errno.EACCES, "may write"),
        (errno.ENOTDIR, "a folder, not a file"),
        (errno.EIO, "check the disk"),
    ],
)
def test_what_the_system_says_is_told_with_a_remedy(tmp_path: Path, number: int, remedy: str) -> None:
    with pytest.raises(StorageError) as caught, storage_errors(tmp_path / "x"):
        raise OSError(number, os.strerror(number))
    assert isinstance(caught.value, UserError)
    assert str(caught.value).startswith(f"cannot write {tmp_path / 'x'}: {os.strerror(number)}; ")
    assert remedy in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_device_is_told(tmp_path: Path) -> None:
    # Opened, not given to safetensors: that renames a file of its own over the device.
    def to_full(_: Path) -> None:
        with Path("/dev/full").open("wb") as device:
            device.write(b"x" * 100_000)

    with pytest.raises(StorageError, match=r"cannot write .*model\.safetensors: No space left on device; free some"):
        write_atomically(tmp_path / "model.safetensors", to_full)


def test_a_mistake_of_ours_is_not_called_a_full_disk(tmp_path: Path) -> None:
    def broken(_: Path) -> None:
        raise SafetensorError("tensors overlap")

    with pytest.raises(SafetensorError):
        write_atomically(tmp_path / "x.safetensors", broken)


def test_tensors_survive(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5)}
    write_atomically(tmp_path / "x.safetensors", lambda temporary: save_file(tensors, temporary))
    found = load_file(tmp_path / "x.safetensors")
    assert all(torch.equal(found[key], tensor) for key, tensor in tensors.items())


@pytest.mark.parametrize("name", ["x" * 250 + ".txt", "grün" * 40 + ".txt"])
def test_names_as_long_as_file_systems_allow_can_be_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "x")
    assert (tmp_path / name).read_text() == "x"


def test_folders_are_made_with_their_parents_and_files_in_the_way_are_told(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match="a folder, not a file"):
            make_folder(path)


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".state.123.tmp.safetensors", ".log.9.tmp.txt", ".hidden", "a.tmp.txt", "state.safetensors"):
        (tmp_path / name).write_text("x")
    remove_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "a.tmp.txt", "state.safetensors"]


@pytest.mark.parametrize(("number", "stored"), [(0.5, 0.5), (0.0, 0.0), (3, 3), (math.nan, None)])
def test_nan_is_stored_as_none_and_comes_back(number: float, stored: float | None) -> None:
    assert nan_to_none(number) == stored
    assert none_to_nan(nan_to_none(number)) == pytest.approx(number, nan_ok=True)


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    (tmp_path / "x").write_bytes(content)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "names",
    [
        ("x/", "x_", "x__0"),
        ("x/", "x:", "x__0", "x__1", "x__0_0"),
        ("road", "Road", "ROAD_0", "road_1"),
        ("Straße", "strasse", "STRASSE"),
        ("e\u0301", "\u00e9"),
        ("", "..", ".", "__", "_1"),
        ("y" * 300, "y" * 299 + "z", "ä" * 200),
        ("a\0b", "a/b", "a\\b", "../a"),
    ],
)
def test_folders_of_any_names_are_different_ones(names: tuple[str, ...], tmp_path: Path) -> None:
    found = distinct_folder_names(names)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in found}) == len(names)
    assert found == distinct_folder_names(names)
    for name in found:
        (tmp_path / name).mkdir()
    assert len(list(tmp_path.iterdir())) == len(names)


def test_a_name_that_a_folder_can_have_stays_as_it_is() -> None:
    assert distinct_folder_names(["road", "Car Park", "x/", "x_", "ü.1"]) == ["road", "Car Park", "x__2", "x__3", "ü.1"]
