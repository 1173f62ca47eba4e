"""Whole commands: how long until the help is there, the first prediction, and how much memory a huge picture takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from atonce.labels import CAMVID
from atonce.model import FCN, initialise
from atonce.model_file import ModelFile
from atonce.recipes import FCNConfig, load_recipe
from atonce.streets import render_scene
from benchmarks.operations import Cell, forward_operations
from benchmarks.results import Report, Section
from benchmarks.timing import Clock, Repetitions, Series, take_turns
from benchmarks.workers import Failed, in_process

HELP, COLD = "atonce --help", "atonce predict, slim model, one picture"
NOTE = "New processes, from the command to its end; files are in the system's cache."
LARGE_NOTE = (
    "`atonce predict` on one picture, with everything that it writes; a network of an eighth of VGG-16's width (the "
    "tiles, and so the memory, adapt to the width). Once."
)

# Of the best matrix product; a network this thin gets less out of the processor than a wide one.
_EXPECTED_SHARE = 0.15

# Height and width that operations are counted at.
_SAMPLE = (512, 512)

# Tiles overlap, the picture is read and three are written.
_OVERHEAD = 2.0


class Command:
    """A command as something that can be timed."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = [sys.executable, *words]

    def prepare(self, case: object) -> None:
        """Nothing: every run is a process of its own."""

    def run(self) -> tuple[float, int | None]:
        began = time.perf_counter()
        with subprocess.Popen(self.words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            assert process.stderr
            said = process.stderr.read().decode(errors="replace").strip().splitlines()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = code = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        if code:
            raise Failed(f"exit code {code}" + (f": {said[-1]}" if said else ""))
        return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def write_model(path: Path, width: float, head_width: int, seed: int) -> FCN:
    """A model file with random weights, of CamVid's classes."""
    torch.manual_seed(seed)
    model = initialise(FCN(FCNConfig(width=width, head_width=head_width), CAMVID.num_classes))
    ModelFile(model.eval(), CAMVID).save(path)
    return model


def run(folder: Path, seed: int, clock: Clock, repetitions: Repetitions) -> Section:
    """Help and cold prediction; `import torch` beside them, below which no prediction can be.

    The slim model is that of the recipe `streets`.
    """
    section = Section("start", "Start-up", NOTE)
    model, picture = folder / "slim.safetensors", folder / "street.png"
    slim = load_recipe("streets").model
    write_model(model, slim.width, slim.head_width, seed)
    Image.fromarray(render_scene(seed, (360, 480)).image).save(picture)
    runners = {
        HELP: Command(["-m", "atonce", "--help"]),
        "python -c 'import torch'": Command(["-c", "import torch"]),
        COLD: Command(["-m", "atonce", "predict", str(model), str(picture), "--out", str(folder / "out")]),
    }
    failed: dict[str, str] = {}
    found = take_turns(runners, None, repetitions, 0.6 * clock.left("start"), failed)
    for series in found.values():
        # Linux counts what this process held when it started them.
        series.memory = None
    section.add("cold", found)
    section.lose("cold", failed)
    return section


def run_large(report: Report, folder: Path, side: int, seed: int, clock: Clock) -> Section:
    """A square picture, once, if the time is enough for it; report.peaks says how fast the machine is."""
    section = Section("large", "A huge picture", LARGE_NOTE)
    case = f"{side}x{side} ({side**2 / 1e6:.0f} megapixels)"
    model = folder / "thin.safetensors"
    write_model(model, 0.125, 64, seed)
    thin = partial(FCN, FCNConfig(width=0.125, head_width=64), CAMVID.num_classes)
    count = forward_operations(thin, Cell(*_SAMPLE, 1))
    count = round(count * side**2 / (_SAMPLE[0] * _SAMPLE[1]))
    peak = report.peaks.get("fp32", 0.0)
    expected = _OVERHEAD * count / (_EXPECTED_SHARE * peak) if peak else 0.0
    if expected > clock.left("large"):
        left = clock.left("large")
        section.left_out.append(f"{case}: takes about {expected:.0f} s, {left:.0f} s are left (--minutes)")
        return section
    picture = folder / "large.jpg"
    command = Command(["-m", "atonce", "predict", str(model), str(picture), "--out", str(folder / "large")])
    try:
        # This process stays small: what it holds would be counted as the command's.
        in_process(partial(_write_large, picture, side, seed))
        seconds, memory = command.run()
    except Failed as error:
        section.left_out.append(f"{case}: {error}")
        return section
    section.add(case, {"atonce predict": Series([seconds], memory)}, pictures=1)
    return section


def _write_large(path: Path, side: int, seed: int) -> None:
    scene = render_scene(seed, (360, 480)).image
    rows, columns = -(-side // scene.shape[0]), -(-side // scene.shape[1])
    Image.fromarray(np.tile(scene, (rows, columns, 1))[:side, :side]).save(path, quality=90)
