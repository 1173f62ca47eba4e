"""The soak in about a minute: every reader is fed, something is killed, the server is crowded; nothing is found."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from benchmarks.soak import fuzz, mutations, serving
from benchmarks.soak.commands import Commands
from benchmarks.soak.full_disk import fill_disks
from benchmarks.soak.kills import Killer
from benchmarks.soak.readers import READERS, Workspace, make_workspace
from benchmarks.soak.results import Finding, Results, Stopwatch, said_badly
from benchmarks.soak.work import all_work, leftovers

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("soak") / "space"
    yield make_workspace(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path)


def found(results: Results) -> list[tuple[str, str]]:
    return list(results.findings)


def test_two_hundred_damaged_files_are_read_or_refused(space: Workspace, results: Results) -> None:
    fuzz.fuzz(results, space, Stopwatch(0), seed=20, least=200)
    assert found(results) == []
    assert sum(sum(counts.values()) for counts in results.counts.values()) >= 200


def test_a_training_and_an_export_that_are_killed_come_to_the_same(
    space: Workspace, results: Results, tmp_path: Path
) -> None:
    killer = Killer(results, Commands(tmp_path / "said"), tmp_path / "kills", seed=3)
    for work in all_work(space):
        if work.name in ("train: plain", "predict"):
            killer.kill(work, 0)
            assert results.counts[f"kill: {work.name}"]["the same in the end"] == 1
    assert found(results) == []


def test_a_full_disk_is_told(space: Workspace, results: Results, tmp_path: Path) -> None:
    fill_disks(results, space, Commands(tmp_path / "said"), Stopwatch(6), 1, short=True)
    assert found(results) == []


def test_a_crowd_gets_right_answers_and_refusals(space: Workspace, results: Results) -> None:
    serving.load_server(results, space, Stopwatch(22))
    assert found(results) == []
    assert results.counts["serve"]["200"] > 10
    assert results.counts["serve"]["health 200"] > 3


def test_what_grows_without_end_is_told_from_what_comes_to_its_size() -> None:
    leak = [(step * 2_000_000, 100) for step in range(120)]
    assert serving._growth(leak) == ["memory grew by 120 MB"]
    late = [(min(step, 80) * 4_000_000, 100) for step in range(120)]
    assert serving._growth(late) == []
    files = [(500_000_000, 100 + step) for step in range(120)]
    assert serving._growth(files) == ["open files grew by 60"]


def test_the_same_seed_makes_the_same_inputs(space: Workspace) -> None:
    seeds = fuzz.seeds_of(space, READERS)
    one, same, other = (
        [
            fuzz.make_input(n, s, READERS, seeds)[1]
            for n in range(40)
            if fuzz.make_input(n, s, READERS, seeds)[0].suffix != ".mp4"
        ]
        for s in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_mutations_of_safetensors_keep_the_file_whole(space: Workspace) -> None:
    data = space.model.read_bytes()
    random = Random(0)
    whole = 0
    for _ in range(60):
        changed = mutations.of_safetensors(data, random)
        whole += 8 + int.from_bytes(changed[:8], "little") + len(data) - 8 - int.from_bytes(data[:8], "little") == len(
            changed
        )
    assert whole > 25


def test_what_is_found_is_counted_by_kind_and_kept(results: Results, tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        results.find(Finding("fuzz: recipe", "KeyError in load.py:_read", "seed 0, input 7", content, ".yaml"))
    assert "FOUND 2 x fuzz: recipe: KeyError in load.py:_read" in results.table()
    kept = sorted(path.suffix for path in (tmp_path / "findings").iterdir())
    assert kept == [".txt", ".yaml"]
    assert next((tmp_path / "findings").glob("*.yaml")).read_bytes() == b"one"


def test_bad_endings_are_told() -> None:
    traceback = "Traceback (most recent call last):\n  File\nKeyError: 'x'"
    assert said_badly(1, traceback, {0: ""}) == "a traceback: KeyError: 'x'"
    assert said_badly(1, "", {0: ""}) == "exit code 1"
    assert said_badly(2, "atonce: no", {2: ""}) is None


def test_leftovers_are_seen(tmp_path: Path) -> None:
    for name in (".model.12-a-b.tmp.safetensors", ".tmpAb12Cd", "model.safetensors", "sub"):
        (tmp_path / name).touch()
    assert leftovers(tmp_path) == [".model.12-a-b.tmp.safetensors", ".tmpAb12Cd"]
