"""Several processes share a prediction or an evaluation: the same files and scores as one, each made once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import atonce
from atonce.devices import of_this_process
from atonce.process_group import ProcessGroup
from tests.data import trees
from tests.processes import PATIENCE, children_of, wait_until
from tests.systems import needs_processes_listed, needs_signals
from tests.tiny import ENVIRONMENT, log_of, set_options

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
    reason="this torch has no torch.distributed with Gloo",
)

TWO = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ACCELERATE = ("accelerate.commands.launch", "--cpu", "--num_processes", "2")


def launch(*words: str | Path, launcher: tuple[str, ...] = TWO) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *launcher, "-m", "atonce", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=ENVIRONMENT)


def content(out: Path) -> dict[str, bytes]:
    """Everything that was written, but what tells times and machines: pixels of pictures, texts as they are."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        assert ".tmp" not in name
        if path.suffix in (".png", ".jpg"):
            with Image.open(path) as picture:
                found[name] = picture.tobytes()
        elif path.is_file() and path.name not in ("run.json", "report.html"):
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "in"
    for number in range(9):
        trees.save(folder / f"{number}.png", trees.picture(number, (40 + 8 * (number % 2), 32)))
    (folder / "broken.png").write_text("not a picture")
    return folder


def test_two_processes_write_what_one_writes(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    written = ("--write", "coco", "--write", "csv", "--maps")
    one = atonce.predict(tiny_model, pictures, out=tmp_path / "one", write=("coco", "csv"), maps=True)
    done = launch("predict", tiny_model, pictures, "--out", tmp_path / "two", *written)
    assert one.done == 9
    assert "9 of 10 pictures segmented" in done.stdout, done.stderr
    assert done.stdout.count("segmented") == 1
    assert " ".join(done.stderr.split()).count("broken.png is not a picture") == 1
    assert content(tmp_path / "two") == content(tmp_path / "one")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "two" / "labels").iterdir()}
    (tmp_path / "two" / "labels" / "4.png").unlink()
    again = launch("predict", tiny_model, pictures, "--out", tmp_path / "two", *written, launcher=ACCELERATE)
    assert "1 of 10 pictures segmented, 8 skipped" in again.stdout, again.stderr
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "two" / "labels").iterdir()}
    assert [path.name for path in after if before[path] != after[path]] == ["4.png"]
    (tmp_path / "one" / "labels" / "4.png").unlink()
    atonce.predict(tiny_model, pictures, out=tmp_path / "one", write=("coco", "csv"), maps=True)
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_two_processes_score_as_one_bit_for_bit(tiny_model: Path, street_data: Path, tmp_path: Path) -> None:
    one = atonce.evaluate(tiny_model, street_data, split="all", out=tmp_path / "one", progress=False)
    done = launch("evaluate", tiny_model, street_data, "--split", "all", "--out", tmp_path / "two", "--json")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert {key: scores[key] for key in one.to_json()} == json.loads(json.dumps(one.to_json()))
    assert content(tmp_path / "two") == content(tmp_path / "one")
    assert {"confusion", "boundary", "calibration"} <= scores.keys()


THREADS = """
import atexit, os, sys
from pathlib import Path

def gloos_threads():
    return [task for task in Path("/proc/self/task").iterdir() if "gloo" in (task / "comm").read_text()]

def tell_what_is_left():  # registered first, so called last
    Path(sys.argv[0], os.environ["RANK"]).write_text(f"{most} {len(gloos_threads())}")

atexit.register(tell_what_is_left)
sys.argv[0] = os.environ["TOLD"]
from atonce.cli import main
try:
    main()
finally:
    most = len(gloos_threads())
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="/proc/self/task tells the names of threads")
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_no_thread_of_gloo_outlives_the_work(tiny_model: Path, street_data: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "script.py").write_text(THREADS)
    words: dict[str, list[str | Path]] = {
        "train": ["train", street_data, "--out", tmp_path / "run", *set_options("train.steps=2")],
        "evaluate": ["evaluate", tiny_model, street_data],
    }
    launched = [sys.executable, "-m", *TWO, str(tmp_path / "script.py"), *map(str, words[command])]
    environment = {**ENVIRONMENT, "TOLD": str(tmp_path)}
    done = subprocess.run(launched, capture_output=True, text=True, timeout=PATIENCE, env=environment)
    assert done.returncode == 0, done.stderr
    for rank in "01":
        most, left = map(int, (tmp_path / rank).read_text().split())
        assert most > 0
        assert left == 0


def test_two_processes_say_a_users_mistake_once(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    # The second one meets it: results that are not atonce's.
    trees.save(tmp_path / "labels" / "1.png", np.zeros((3, 3), np.uint8))
    done = launch("predict", tiny_model, pictures, "--out", tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("labels/1.png was made by another model or with other options") == 1
    assert [path.name for path in tmp_path.rglob("*.png")] == ["1.png"]


def test_shares_are_disjoint_and_complete() -> None:
    things = list(range(11))
    shares = [ProcessGroup(rank, 4).share(things) for rank in range(4)]
    assert sorted(thing for share in shares for thing in share) == things
    assert ProcessGroup().map(lambda thing: 2 * thing, things) == [2 * thing for thing in things]


def test_each_process_takes_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "5")
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    assert of_this_process(torch.device("cuda")) == torch.device("cuda", 1)
    assert of_this_process(torch.device("cuda:3")) == torch.device("cuda", 3)
    assert of_this_process(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert of_this_process(torch.device("cuda")) == torch.device("cuda")


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port


def start_nodes(log: Path, *words: str | Path) -> list[subprocess.Popen[str]]:
    """Two launches with a rendezvous of their own, as two machines have them."""
    port, nodes = free_port(), []
    for node in range(2):
        launcher = ["--nnodes", "2", "--node-rank", str(node), "--nproc-per-node", "1", "--max-restarts", "0"]
        launcher += ["--master-addr", "127.0.0.1", "--master-port", str(port)]
        command = [sys.executable, "-m", "torch.distributed.run", *launcher, "-m", "atonce", *map(str, words)]
        with (log / f"node{node}.txt").open("w") as said:
            nodes.append(
                subprocess.Popen(command, stdout=said, stderr=said, env=ENVIRONMENT, text=True, start_new_session=True)
            )
    return nodes


def said_by(log: Path) -> str:
    return "\n".join((log / f"node{node}.txt").read_text() for node in range(2))


def kill(node: subprocess.Popen[str]) -> None:
    """A machine loses its power: launcher and workers at once."""
    for pid in [*_below(node.pid), node.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    node.wait(PATIENCE)


def _below(pid: int) -> list[int]:
    return [one for child in children_of(pid) for one in [child, *_below(child)]]


@needs_signals
@needs_processes_listed
def test_two_nodes_predict_and_what_a_killed_one_leaves_is_done_by_the_next_launch(
    tiny_model: Path, tmp_path: Path
) -> None:
    for number in range(300):
        trees.save(tmp_path / "in" / f"{number:03}.png", trees.picture(number, (64, 48)))
    out, words = tmp_path / "out", ("predict", tiny_model, tmp_path / "in", "--out", tmp_path / "out")
    nodes = start_nodes(tmp_path, *words)
    wait_until(lambda: len(list((out / "labels").glob("[0-9]*.png"))) >= 20, nodes[0])
    kill(nodes[1])
    # The survivor finishes its share, or is ended as soon as it hears of the other's death; it does not hang.
    assert nodes[0].wait(PATIENCE) != 0, said_by(tmp_path)
    left = len(list((out / "labels").glob("[0-9]*.png")))
    assert 20 <= left < 300
    again = start_nodes(tmp_path, *words)
    assert [node.wait(PATIENCE) for node in again] == [0, 0], said_by(tmp_path)
    assert f"{300 - left} of 300 pictures segmented, {left} skipped" in said_by(tmp_path)
    assert len(content(out)) == 600


@needs_signals
@needs_processes_listed
def test_two_nodes_train_and_go_on_after_one_was_killed(street_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    long = set_options("train.steps=100000", "train.validate_every=100000", "train.save_every=5", "train.log_every=1")
    nodes = start_nodes(tmp_path, "train", street_data, "--out", run, *long)
    state = run / "state" / "state.safetensors"
    wait_until(state.is_file, nodes[0])
    kill(nodes[1])
    assert nodes[0].wait(PATIENCE) != 0, said_by(tmp_path)
    steps = len(log_of(run))
    shutil.rmtree(run / ".lock", ignore_errors=True)
    again = start_nodes(tmp_path, "train", street_data, "--out", run, "--resume")
    end = time.monotonic() + PATIENCE
    while len(log_of(run)) <= steps + 5:
        assert time.monotonic() < end, said_by(tmp_path)
        assert again[0].poll() is None, said_by(tmp_path)
        time.sleep(0.1)
    for node in again:
        node.terminate()
    for node in again:
        node.wait(PATIENCE)
    rows = [row["step"] for row in log_of(run)]
    assert rows == list(range(1, len(rows) + 1))
