"""What is killed and what runs out of disk: commands with all they need, and how to tell that their work is right."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors import safe_open

from benchmarks.soak.readers import TINY, Workspace, videos

Words = list[str | Path]
Content = dict[str, str]
"""Name of what a command has made -> a digest of what must be the same whenever it is made."""

_LEFTOVER = re.compile(r"\..*\.tmp(\..*)?|\.tmp\w{6}|\.export-.*|.*\.lock|.*~")


@dataclass(frozen=True)
class Work:
    """A command whose work can be told to be right.

    Attributes:
        name: for the table.
        words: the command that does it into a folder.
        again: the command that goes on with it in that folder after a kill.
        content: what it has made there.
        launcher: words before `atonce`, for several processes; the command is then a process of its own.
        slow: whether it is left out of the shortest soaks.
    """

    name: str
    words: Callable[[Path], Words]
    again: Callable[[Path], Words]
    content: Callable[[Path], Content]
    launcher: tuple[str, ...] = ()
    slow: bool = False


def leftovers(folder: Path) -> list[str]:
    """List what commands should have removed: temporary files, locks."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if _LEFTOVER.fullmatch(p.name))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def tensors_of(path: Path) -> str:
    """Digest the tensors of a file: its texts tell times."""
    with safe_open(path, "np") as file:
        return _digest(b"".join(key.encode() + file.get_tensor(key).tobytes() for key in sorted(file.keys())))


def _run_content(folder: Path) -> Content:
    run = folder / "run"
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    log = [(row["step"], row.get("loss")) for row in rows if "loss" in row]
    return {"model": tensors_of(run / "model.safetensors"), "log": _digest(json.dumps(log).encode())}


def _training(name: str, space: Workspace, *settings: str, launcher: tuple[str, ...] = (), slow: bool = False) -> Work:
    options = [word for text in (*TINY, "train.steps=24", *settings) for word in ("--set", text)]

    def words(folder: Path) -> Words:
        return ["train", space.data, "--out", folder / "run", "--recipe", "streets", *options]

    def again(folder: Path) -> Words:
        if (folder / "run" / "state" / "state.safetensors").is_file():
            return ["train", space.data, "--out", folder / "run", "--resume"]
        # It was killed before there was anything to go on with.
        shutil.rmtree(folder / "run", ignore_errors=True)
        return words(folder)

    return Work(f"train: {name}", words, again, _run_content, launcher, slow)


def _pictures_of(folder: Path) -> Content:
    found = {}
    for path in sorted((folder / "out" / "labels").rglob("*.png")):
        with Image.open(path) as picture:
            found[path.name] = _digest(np.asarray(picture).tobytes())
    overlays = sorted(path.name for path in (folder / "out" / "overlays").rglob("*.*"))
    return {**found, "overlays": ", ".join(overlays)}


def _frames_of(folder: Path) -> Content:
    import av

    found = {}
    for path in sorted((folder / "out").rglob("*.m??")):
        with av.open(str(path)) as container:
            video: Any = container.decode(video=0)
            found[path.name] = _digest(b"".join(frame.to_ndarray(format="rgb24").tobytes() for frame in video))
    return found


def _views_of(folder: Path) -> Content:
    with zipfile.ZipFile(folder / "submission.zip") as archive:
        return {name: _digest(archive.read(name)) for name in archive.namelist()}


def _graph_of(folder: Path) -> Content:
    return {path.name: _digest(path.read_bytes()) for path in sorted(folder.glob("model.*"))}


def _study_of(folder: Path) -> Content:
    models = sorted((folder / "study").glob("*/seed-*/model.safetensors"))
    return {f"{path.parent.parent.name}/{path.parent.name}": tensors_of(path) for path in models}


def _repeated(
    name: str, words: Callable[[Path], Words], content: Callable[[Path], Content], *, slow: bool = False
) -> Work:
    """Make work that is gone on with by the same command."""
    return Work(name, words, words, content, slow=slow)


def _kitti(space: Workspace) -> Path:
    """Make the testing pictures of a road benchmark."""
    root = space.folder / "data_road" / "testing"
    if not (root / "calib").is_dir():
        (root / "image_2").mkdir(parents=True)
        calibration = (
            "P2: 50 0 32 0 0 50 20 0 0 0 1 0\nR0_rect: 1 0 0 0 1 0 0 0 1\nTr_cam_to_road: 1 0 0 0 0 1 0 -1.6 0 0 1 0\n"
        )
        (root / "calib").mkdir()
        for index in range(6):
            values = np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)
            Image.fromarray(values).save(root / "image_2" / f"um_{index:06}.png")
            (root / "calib" / f"um_{index:06}.txt").write_text(calibration)
    return root


def _road_model(space: Workspace) -> Path:
    from atonce.labels import KITTI_ROAD
    from atonce.model import FCN
    from atonce.model_file import ModelFile
    from atonce.recipes import FCNConfig

    path = space.folder / "road.safetensors"
    if not path.is_file():
        ModelFile(FCN(FCNConfig(width=0.05, head_width=4), 2), KITTI_ROAD).save(path)
    return path


def _inputs(space: Workspace) -> Path:
    folder = space.folder / "inputs"
    if not folder.is_dir():
        folder.mkdir()
        for index in range(24):
            values = np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)
            Image.fromarray(values).save(folder / f"{index:02}.png")
    return folder


def _film(space: Workspace) -> Path:
    import av

    path = space.folder / "film.mkv"
    if not path.is_file():
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for index in range(150):
                values = np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="rgb24")))
            container.mux(stream.encode())
    return path


def all_work(space: Workspace) -> Sequence[Work]:
    """List everything that is killed and that runs out of disk; what needs a missing package is left out."""
    study = space.folder / "study.yaml"
    study.write_text("variants:\n  a: {}\n  b: {optim.lr: 0.002}\n")
    options = [word for text in (*TINY, "train.save_every=2") for word in ("--set", text)]
    predict: Words = ["predict", space.model, _inputs(space), "--probabilities", "--write", "coco", "--out"]
    ablate: Words = ["ablate", space.data, "--study", study, "--seeds", "1", "--recipe", "streets", *options]
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    found = [
        _training("plain", space, "optim.ema_decay=0"),
        _training("EMA", space, "optim.ema_decay=0.9", "model.dropout=0.5"),
        _training("staged", space, "schedule=staged"),
        _training("teacher", space, f"distill.teacher={space.model}"),
        _training("disk cache", space, "data.cache=disk"),
        _training("accumulation", space, "train.accumulate=2", "optim.name=sgd", "optim.lr=0.01"),
        _training("two processes", space, launcher=torchrun, slow=True),
        _repeated("predict", lambda folder: [*predict, folder / "out"], _pictures_of),
        _repeated(
            "submit",
            lambda folder: ["submit", _road_model(space), _kitti(space), "--out", folder / "submission.zip"],
            _views_of,
        ),
        _repeated(
            "export ONNX",
            lambda folder: ["export", space.model, "--to", "onnx", "--out", folder / "model.onnx"],
            _graph_of,
        ),
        _repeated(
            "export OpenVINO",
            lambda folder: ["export", space.model, "--to", "openvino", "--out", folder / "model.xml"],
            _graph_of,
        ),
        _repeated("ablate", lambda folder: [*ablate, "--out", folder / "study"], _study_of, slow=True),
    ]
    if videos(space):
        film: Words = ["predict", space.model, _film(space), "--label-video", "--out"]
        found.append(_repeated("video", lambda folder: [*film, folder / "out"], _frames_of))
    return found
