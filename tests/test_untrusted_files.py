"""Files of a folder that may be a stranger's: read where they are ordinary and small, written to where they are no links."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atonce.errors import StorageError
from atonce.untrusted_files import (
    is_ordinary,
    open_in_place,
    parse_json,
    parse_table,
    read_bytes,
    read_json,
    read_table,
    read_text,
    require_in_place,
)
from tests.systems import needs_links, needs_pipes


@needs_pipes
@pytest.mark.parametrize("read", [read_bytes, read_text, read_json, read_table])
def test_a_pipe_is_not_waited_for(read: Callable[[Path], Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no ordinary file"):
        read(tmp_path / "pipe")
    assert not is_ordinary(tmp_path / "pipe")


@needs_links
def test_a_device_without_an_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "zeros").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="no ordinary file"):
        read_text(tmp_path / "zeros")


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read_bytes(tmp_path / "file", 4)


def test_text_is_that_of_pathlib(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes("ü\r\na\rb\n".encode())
    assert read_text(tmp_path / "file") == (tmp_path / "file").read_text("utf-8")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[1", "9" * 5000 + "x", "", b"\xff"])
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_json(text)


def test_numbers_that_no_float_holds_are_none() -> None:
    text = f"[NaN, Infinity, -Infinity, 1e999, -1e999, {10**400}, {10**300}, 0.{'1' * 400}, 1e-999, 1e300, 7]"
    assert parse_json(text) == [None] * 6 + [10**300, 1 / 9, 0.0, 1e300, 7]


def test_ordinary_json_is_what_python_reads() -> None:
    data = {"a": [1, -2.5, True, None, "é1e999"], "b": {"c": [[]]}}
    assert parse_json(json.dumps(data)) == data


def test_a_cell_that_is_too_long_for_a_table_is_a_value_error() -> None:
    assert parse_table('a,b\n1,"x\ny"\n') == (["a", "b"], [{"a": "1", "b": "x\ny"}])
    with pytest.raises(ValueError, match=r"line \d: field larger"):
        parse_table("a,b\n" + "x" * 140_000)


@needs_links
@pytest.mark.parametrize("target", ["precious", "missing"])
def test_nothing_is_written_through_a_link(target: str, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / target)
    with pytest.raises(StorageError, match=r"link is a link; .*remove it"):
        open_in_place(tmp_path / "link", os.O_RDWR)
    with pytest.raises(StorageError, match="link is a link"):
        require_in_place(tmp_path / "file", tmp_path / "link")
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "missing").exists()


@needs_pipes
@pytest.mark.parametrize("flags", [os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_nothing_is_written_into_a_pipe(flags: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="pipe is no ordinary file"):
        open_in_place(tmp_path / "pipe", flags)
    with pytest.raises(StorageError, match="pipe is no ordinary file"):
        require_in_place(tmp_path / "pipe")


def test_a_folder_that_is_read_as_a_file_leaves_nothing_open(tmp_path: Path) -> None:
    def next_descriptor() -> int:
        descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
        os.close(descriptor)
        return descriptor

    before = next_descriptor()
    for _ in range(3):
        with pytest.raises((OSError, ValueError)):
            read_bytes(tmp_path, 100)
    assert next_descriptor() == before


def test_a_file_and_a_folder_that_are_ones_are_fine(tmp_path: Path) -> None:
    descriptor = open_in_place(tmp_path / "file", os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b"line")
    os.close(descriptor)
    require_in_place(tmp_path / "file", tmp_path, tmp_path / "missing")
    assert (tmp_path / "file").read_bytes() == b"line"
