"""Data, models and results at addresses: memory:// in this process, and S3 as moto serves it on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

import atonce
import atonce as package
from atonce.data.formats import require_format
from atonce.errors import DataError, UserError
from atonce.model_file import load_model_file
from atonce.remote import RemoteFiles, address_of, local_copy, results_at
from tests.commands import Command
from tests.data import trees
from tests.test_process_group import free_port
from tests.tiny import set_options, tiny_recipe


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATONCE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    """An empty place in memory."""
    name = f"memory://{tmp_path.name}"
    yield name
    files, root = fsspec.core.url_to_fs(name)
    if files.exists(root):
        files.rm(root, recursive=True)


def put(local: Path, address: str) -> None:
    files, root = fsspec.core.url_to_fs(address)
    for path in sorted(local.rglob("*")) if local.is_dir() else [local]:
        if path.is_file():
            name = path.relative_to(local).as_posix()
            files.pipe(root if name == "." else f"{root}/{name}", path.read_bytes())


def names(address: str) -> list[str]:
    files, root = fsspec.core.url_to_fs(address)
    files.invalidate_cache()
    return sorted(path.removeprefix(root).lstrip("/") for path in files.find(root))


def labels_of(address: str, name: str) -> np.ndarray:
    files, root = fsspec.core.url_to_fs(address)
    with files.open(f"{root}/labels/{name}.png") as opened, Image.open(opened) as picture:
        return np.array(picture)


def test_an_address_is_known_also_as_a_path_has_mangled_it() -> None:
    assert address_of("s3://bucket/key") == address_of(Path("s3://bucket/key")) == "s3://bucket/key"
    assert address_of(Path("memory://data/")) == "memory://data"
    for here in ("/data/x", "data", r"C:\data", "C:/data", "http://x.org/y", "a:b"):
        assert address_of(here) is None


def test_what_is_read_is_copied_once_and_again_where_it_has_changed(bucket: str, tmp_path: Path) -> None:
    for number in range(3):
        trees.save(tmp_path / "in" / "sub" / f"{number}.png", trees.picture(number))
    put(tmp_path / "in", f"{bucket}/in")
    copy = local_copy(f"{bucket}/in")
    assert copy.name == "in"
    paths = sorted(copy.rglob("*.png"))
    times = {path: path.stat().st_mtime_ns for path in paths}
    trees.save(tmp_path / "in" / "sub" / "1.png", trees.picture(9))
    put(tmp_path / "in" / "sub" / "1.png", f"{bucket}/in/sub/1.png")
    files, root = fsspec.core.url_to_fs(bucket)
    files.rm(f"{root}/in/sub/2.png")
    assert local_copy(f"{bucket}/in") == copy
    assert [path.name for path in sorted(copy.rglob("*.png"))] == ["0.png", "1.png"]
    assert [path.name for path in paths[:2] if path.stat().st_mtime_ns != times[path]] == ["1.png"]
    assert paths[1].read_bytes() == (tmp_path / "in" / "sub" / "1.png").read_bytes()


def test_pictures_at_an_address_are_segmented_to_another_one_and_gone_on_with(
    tiny_model: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        trees.save(tmp_path / "in" / f"{number}.png", trees.picture(number, (40, 30)))
    put(tmp_path / "in", f"{bucket}/in")
    put(tiny_model, f"{bucket}/run/model.safetensors")
    local = atonce.predict(tiny_model, tmp_path / "in", out=tmp_path / "out", write="coco")
    remote = atonce.predict(f"{bucket}/run", f"{bucket}/in", out=f"{bucket}/out", write="coco")
    assert (local.done, remote.done, remote.out) == (4, 4, f"{bucket}/out")
    kinds = [f"labels/{n}.png" for n in range(4)] + [f"overlays/{n}.jpg" for n in range(4)]
    assert names(f"{bucket}/out") == sorted([*kinds, "coco.json"])
    for number in range(4):
        with Image.open(tmp_path / "out" / "labels" / f"{number}.png") as picture:
            np.testing.assert_array_equal(labels_of(f"{bucket}/out", str(number)), np.array(picture))
    # Another machine goes on: its cache is empty.
    monkeypatch.setenv("ATONCE_CACHE", str(tmp_path / "other"))
    files, root = fsspec.core.url_to_fs(bucket)
    files.rm(f"{root}/out/labels/2.png")
    again = atonce.predict(f"{bucket}/run", f"{bucket}/in", out=f"{bucket}/out", write="coco")
    assert (again.done, again.skipped) == (1, 3)


def test_each_picture_is_there_as_soon_as_it_is_whole_its_label_last(
    tiny_model: Path, bucket: str, tmp_path: Path
) -> None:
    for number in range(6):
        trees.save(tmp_path / "in" / f"{number}.png", trees.picture(number, (40, 30)))
    seen = []

    def look(done: int, total: int) -> None:
        there = names(f"{bucket}/out")
        labels = {name[7:-4] for name in there if name.startswith("labels/")}
        overlays = {name[9:-4] for name in there if name.startswith("overlays/")}
        assert labels <= overlays
        seen.append((done, len(labels)))

    atonce.predict(tiny_model, tmp_path / "in", out=f"{bucket}/out", progress=look)
    assert all(labels >= done for done, labels in seen)
    assert seen[-1][0] == 6


def test_train_and_evaluate_at_addresses(street_data: Path, bucket: str, tmp_path: Path, atonce: Command) -> None:
    import atonce as package

    put(street_data, f"{bucket}/streets")
    run = package.train(f"{bucket}/streets", recipe=tiny_recipe(), out=f"{bucket}/run", progress=False)
    assert {"model.safetensors", "report.html", "recipe.yaml", "state/state.safetensors"} <= set(names(f"{bucket}/run"))
    assert run.steps == 4
    scores = package.evaluate(f"{bucket}/run", f"{bucket}/streets", out=f"{bucket}/scores", progress=False)
    assert scores.mean_iou == run.scores["mean_iou"]
    assert {"evaluation.json", "report.html"} <= set(names(f"{bucket}/scores"))
    told = atonce("evaluate", f"{bucket}/run", f"{bucket}/streets", "--quick")
    assert told.code == 0, told.err
    assert told.out.startswith(f"{bucket}/streets (val)")


SHORT = set_options("train.steps=2", "train.validate_every=2")


def test_the_commands_train_at_addresses_and_go_on_there(
    street_data: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atonce: Command
) -> None:
    put(street_data, f"{bucket}/streets")
    told = atonce("train", f"{bucket}/streets", "--out", f"{bucket}/run", *SHORT)
    assert told.code == 0, told.err
    assert told.out.startswith(f"{bucket}/streets (val)")
    assert told.out.endswith(f"model    {bucket}/run/model.safetensors\nreport   {bucket}/run/report.html\n")
    assert {"model.safetensors", "report.html", "state/state.safetensors"} <= set(names(f"{bucket}/run"))
    # Another machine goes on: its cache is empty.
    monkeypatch.setenv("ATONCE_CACHE", str(tmp_path / "other"))
    resumed = atonce("train", street_data, "--out", f"{bucket}/run", "--resume", "--set", "train.steps=3", "--json")
    assert resumed.code == 0, resumed.err
    assert json.loads(resumed.out)["steps"] == 3
    nothing = atonce("train", street_data, "--out", f"{bucket}/nothing", "--resume")
    assert "nothing holds no run; expected a run directory to resume" in nothing.mistake


def test_the_recipe_and_the_name_of_a_run_follow_from_data_at_an_address(
    street_data: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atonce: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    put(street_data, f"{bucket}/streets")
    planned = atonce("train", f"{bucket}/streets", "--dry-run", *SHORT[2:], "--weights", "none")
    assert planned.code == 0, planned.err
    assert f"folder    {Path('runs', 'streets-folder')}; nothing was written" in planned.out
    assert require_format(f"{bucket}/streets") == "folder"
    missing = atonce("train", f"{bucket}/nothing", "--dry-run")
    assert f"{bucket}/nothing does not exist, or is empty" in missing.mistake


def test_a_plan_leaves_the_address_of_a_run_as_it_is(street_data: Path, bucket: str, atonce: Command) -> None:
    put(street_data, f"{bucket}/streets")
    planned = atonce("train", f"{bucket}/streets", "--out", f"{bucket}/run", "--dry-run", *SHORT)
    assert planned.code == 0, planned.err
    assert names(f"{bucket}/run") == []


def test_the_command_to_go_on_with_names_the_addresses(
    street_data: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, atonce: Command
) -> None:
    put(street_data, f"{bucket}/streets")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("atonce.training.train_network.fit", lambda run, callback: callback.on_train_start(run))
    monkeypatch.setattr("atonce.training.train_network.unseen_pictures", interrupted)
    stopped = atonce("train", f"{bucket}/streets", "--out", f"{bucket}/run", *SHORT)
    assert stopped.code == 130
    assert f"atonce train {bucket}/streets --out {bucket}/run --resume" in stopped.err


def test_weights_at_an_address_are_gone_on_from(
    street_data: Path, tiny_model: Path, bucket: str, tmp_path: Path, atonce: Command
) -> None:
    put(tiny_model, f"{bucket}/run/model.safetensors")
    put(tiny_model, f"{bucket}/mine.safetensors")
    first = load_model_file(tiny_model).model.state_dict()
    for weights in (f"{bucket}/run", f"{bucket}/mine.safetensors"):
        out = tmp_path / Path(weights).stem
        done = atonce("train", street_data, "--out", out, "--weights", weights, *SHORT, "--set", "optim.lr=1e-12")
        assert done.code == 0, done.err
        found = load_model_file(out / "model.safetensors").model.state_dict()
        assert all(torch.allclose(found[name], first[name], atol=1e-5) for name in first)
    told = atonce("train", street_data, "--weights", f"{bucket}/nothing").mistake
    assert f"{bucket}/nothing does not exist, or is empty; expected a weights file" in told


@pytest.mark.parametrize(
    "words",
    [
        ("export", "MODEL", "--to", "onnx", "--out", "ADDRESS/x.onnx"),
        ("submit", "MODEL", "DATA", "--out", "ADDRESS/x.zip"),
        ("card", "MODEL", "--out", "ADDRESS/card.md"),
        ("weights", "convert", "MODEL", "--out", "ADDRESS/x.safetensors"),
        ("ablate", "DATA", "--study", "l2", "--out", "ADDRESS/study"),
        ("doctor", "DATA", "--fix-masks", "ADDRESS/masks"),
    ],
)
def test_what_is_written_here_only_makes_no_folder_called_after_an_address(
    street_data: Path,
    tiny_model: Path,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    atonce: Command,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"MODEL": str(tiny_model), "DATA": str(street_data)}
    told = atonce(*(given.get(word, word.replace("ADDRESS", bucket)) for word in words)).mistake
    assert f" {bucket}/" in told and "; expected a path of this machine; " in told
    assert list(tmp_path.iterdir()) == []


def test_an_export_of_a_model_at_an_address_lies_in_the_working_folder(
    tiny_model: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atonce: Command
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    monkeypatch.chdir(tmp_path)
    put(tiny_model, f"{bucket}/city/model.safetensors")
    for number in range(2):
        trees.save(tmp_path / "in" / f"{number}.png", trees.picture(number, (40, 30)))
    put(tmp_path / "in", f"{bucket}/in")
    done = atonce("export", f"{bucket}/city", "--to", "onnx", "--calibration", f"{bucket}/in")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].startswith("city.onnx (")
    assert (tmp_path / "city.onnx").is_file()
    assert package.export(f"{bucket}/city/model.safetensors", to="onnx").path == Path("model.onnx")


def test_what_is_not_there_and_who_is_not_installed_are_the_users_mistakes(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atonce: Command
) -> None:
    with pytest.raises(DataError, match="nothing does not exist, or is empty"):
        local_copy(f"{bucket}/nothing")
    assert (
        "nothing/model.safetensors does not exist"
        in atonce("predict", f"{bucket}/nothing", tmp_path, "--out", tmp_path).mistake
    )

    def missing(*_: object) -> None:
        raise ImportError("Install s3fs to access S3")

    with monkeypatch.context() as patch:
        patch.setattr(fsspec.core, "url_to_fs", missing)
        with pytest.raises(UserError, match="s3://bucket/x needs the package s3fs; pip install s3fs"):
            local_copy("s3://bucket/x")


def test_names_that_climb_out_of_the_copy_are_refused(bucket: str) -> None:
    files, root = fsspec.core.url_to_fs(bucket)
    files.store[f"{root}/a/../../evil.txt"] = fsspec.implementations.memory.MemoryFile(data=b"x")
    try:
        with pytest.raises(DataError, match="names that stay below it"):
            RemoteFiles(bucket).pull(must_exist=True)
    finally:
        del files.store[f"{root}/a/../../evil.txt"]


def test_what_was_written_is_brought_there_also_when_it_ends_badly(bucket: str) -> None:
    with pytest.raises(KeyboardInterrupt), results_at(f"{bucket}/out") as results:
        (results.folder / "log.txt").write_text("as far as it came")
        raise KeyboardInterrupt
    assert names(f"{bucket}/out") == ["log.txt"]


@pytest.mark.skipif(not (find_spec("s3fs") and find_spec("moto")), reason="needs s3fs and moto[server]: not installed")
def test_a_local_s3_holds_pictures_and_results(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "FSSPEC_S3_ENDPOINT_URL": address,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(fsspec.config, "conf", {"s3": {"endpoint_url": address}})
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], env=os.environ, **quiet)  # type: ignore[call-overload]
    try:
        end = time.monotonic() + 120
        while True:
            try:
                urlopen(address, timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.2)
        import s3fs

        s3fs.S3FileSystem(endpoint_url=address).mkdir("streets")
        for number in range(3):
            trees.save(tmp_path / "in" / f"{number}.png", trees.picture(number, (40, 30)))
        put(tmp_path / "in", "s3://streets/in")
        put(tiny_model, "s3://streets/run/model.safetensors")
        summary = atonce.predict("s3://streets/run", "s3://streets/in", out="s3://streets/out")
        assert (summary.done, summary.broken) == (3, [])
        local = atonce.predict(tiny_model, tmp_path / "in", out=tmp_path / "out")
        assert local.done == 3
        for number in range(3):
            with Image.open(tmp_path / "out" / "labels" / f"{number}.png") as picture:
                np.testing.assert_array_equal(labels_of("s3://streets/out", str(number)), np.array(picture))
        assert atonce.predict("s3://streets/run", "s3://streets/in", out="s3://streets/out").skipped == 3
        with pytest.raises(DataError, match="s3://elsewhere/x"):
            local_copy("s3://elsewhere/x")
    finally:
        server.terminate()
        server.wait(60)
