"""What a killed writer leaves is removed by the next one; what a living one is writing is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from atonce import storage
from atonce.processes import ProcessIdentity
from atonce.safetensors_writer import save_tensors
from atonce.storage import temporary_folder, temporary_path, write_text
from tests.disks import tiny_disk
from tests.systems import needs_signals
from tests.tiny import ENVIRONMENT


def python(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, timeout=120)


@pytest.fixture
def dead() -> ProcessIdentity:
    """A process that is no more."""
    code = "from atonce.processes import ProcessIdentity; print(ProcessIdentity.current())"
    identity = ProcessIdentity.parse(python(code).stdout.strip())
    assert identity
    return identity


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_process_is_known_again_and_told_from_a_later_one_of_its_number(dead: ProcessIdentity) -> None:
    me = ProcessIdentity.current()
    assert ProcessIdentity.parse(str(me)) == me
    assert me.is_here
    assert me.is_alive
    assert dead.is_here
    assert not dead.is_alive
    if me.start != "0":
        assert not ProcessIdentity(me.pid, me.machine, "1").is_alive
    assert not ProcessIdentity(me.pid, "abc", me.start).is_here
    assert ProcessIdentity.parse("123") is None


def test_the_next_writer_removes_what_dead_ones_left_and_nothing_else(tmp_path: Path, dead: ProcessIdentity) -> None:
    me = ProcessIdentity.current()
    elsewhere = f"{me.pid}-abcdef-12"
    kept = [f".a.{me}.tmp.png", f".a.{elsewhere}.tmp.png", ".a.1.tmp.png", ".hidden", "a.tmp.txt", f"b.{dead}.tmp.zip"]
    for name in [*kept, f".s.{dead}.tmp.zip", f".old.{me.pid}-{me.machine}-1.tmp"]:
        (tmp_path / name).write_text("x")
    (tmp_path / f".model.{dead}.tmp").mkdir()
    (tmp_path / f".model.{dead}.tmp" / ".tmpAbCdEf").write_text("x")
    write_text(tmp_path / "other.txt", "x")
    assert names(tmp_path) == sorted([*kept, "other.txt"])


def test_what_another_machine_left_is_removed_after_a_day_without_a_change(tmp_path: Path) -> None:
    path = tmp_path / f".a.{ProcessIdentity(1, 'abcdef', '12')}.tmp.png"
    path.write_text("x")
    assert not storage.is_abandoned(path)
    os.utime(path, (0, 0))
    write_text(tmp_path / "b.txt", "x")
    assert names(tmp_path) == ["b.txt"]


@needs_signals
def test_a_kill_while_tensors_are_written_leaves_nothing_that_the_next_writer_does_not_find(tmp_path: Path) -> None:
    code = """
        import os, signal, sys
        from pathlib import Path
        import torch
        from atonce import safetensors_writer

        def killed(tensors, path, metadata):
            # Where and as the library writes before it renames.
            path.with_name(".tmpAbCdEf").write_bytes(bytes(1000))
            os.kill(os.getpid(), signal.SIGKILL)

        safetensors_writer.save_file = killed
        safetensors_writer.save_tensors(Path(sys.argv[1]), {"a": torch.zeros(3)}, {})
    """
    assert python(code, tmp_path / "x.safetensors").returncode == -signal.SIGKILL
    assert names(tmp_path), "nothing was left: the test tests nothing"
    save_tensors(tmp_path / "y.safetensors", {"a": torch.zeros(3)}, {})
    assert names(tmp_path) == ["y.safetensors"]


def test_a_folder_of_an_export_that_was_killed_is_removed_by_the_next(tmp_path: Path, dead: ProcessIdentity) -> None:
    with temporary_folder(tmp_path / "model.onnx") as folder:
        (folder / "model.onnx").write_text("x")
        left = folder.name.replace(str(ProcessIdentity.current()), str(dead))
    assert names(tmp_path) == []
    (tmp_path / left).mkdir()
    storage._cleared.clear()
    with temporary_folder(tmp_path / "other.onnx"):
        pass
    assert names(tmp_path) == []


def test_names_of_temporaries_tell_the_stem_whatever_it_holds(tmp_path: Path) -> None:
    for stem in ("a", "a.b.tmp.c", ".7.tmp", "x\ny"):
        assert storage.temporary_stem(temporary_path(tmp_path / f"{stem}.png")) == stem
    assert storage.temporary_stem(tmp_path / "a.png") is None


def test_probabilities_on_a_full_disk_are_one_error_and_no_death_by_sigbus(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from atonce.errors import StorageError
        from atonce.inference.folders import create_npy
        from atonce.storage import write_atomically

        def write(path):
            values = create_npy(path, (11, 1000, 1000))
            values[:] = 1
            values.flush()

        try:
            write_atomically(Path(sys.argv[1]), write)
        except StorageError as error:
            print(error)
    """
    with tiny_disk(tmp_path / "disk", "8m") as disk:
        done = python(code, disk / "p.npy")
        assert done.returncode == 0, done.stderr
        assert "No space left on device; free some space" in done.stdout
        assert names(disk) == []


@pytest.mark.parametrize("failure", [None, AttributeError, OSError(95, "not supported")])
def test_space_is_taken_also_where_the_system_cannot_reserve_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    def refuse(*_: int) -> None:
        assert failure
        raise failure

    if failure:
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    path = tmp_path / "x"
    path.write_bytes(b"head")
    storage.allocate(path, 3_000_000)
    assert path.stat().st_size == 3_000_000
    assert path.stat().st_blocks * 512 >= 3_000_000, "holes"
    assert path.read_bytes()[:5] == b"head\0"
    storage.allocate(path, 10)
    assert path.stat().st_size == 3_000_000
