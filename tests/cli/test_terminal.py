"""Whatever names hold and whatever characters a terminal has: it is told everything, and obeys nobody's file."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import atonce.progress
from atonce.cli import main
from atonce.cli.terminal import make_streams_printable, plain_characters
from atonce.labels import LabelSpec
from atonce.model import FCN
from atonce.model_file import ModelFile
from atonce.progress import PrintableConsole, progress_bars
from atonce.recipes import FCNConfig
from atonce.text import printable, shortened
from tests.processes import start
from tests.systems import needs_any_file_name, needs_full_device
from tests.tiny import ENVIRONMENT

ENCODINGS = ("utf-8", "cp1252", "cp437", "cp932", "ascii")
NAMES = ("Straße – 道路", "\x1b[31mred\x1b[2K\x1b[1A", "\u202egnp", "bell\x07 \x9b31m", "caf\udce9")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two pictures whose names, and the names of whose classes, are not for every terminal."""
    root = tmp_path / "données \x1b[5m"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("ü–\x1b]0;title\x07", os.fsdecode(b"caf\xe9"), "c", "d"):
        pixels = rng.integers(0, 255, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{name}.png")
        Image.fromarray(pixels[..., 0] % np.uint8(len(NAMES) - 1)).save(root / "masks" / f"{name}.png")
    listed = "".join(f"- {_yaml(name)}\n" for name in NAMES[:-1])
    (root / "classes.yaml").write_text(listed, "utf-8")
    return root


def _yaml(name: str) -> str:
    return '"' + "".join(c if c.isprintable() and ord(c) > 31 else f"\\u{ord(c):04x}" for c in name) + '"'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    ModelFile(FCN(FCNConfig(width=0.125, head_width=8), len(NAMES) - 1), LabelSpec.from_names(NAMES[:-1])).save(path)
    return path


def said(monkeypatch: pytest.MonkeyPatch, encoding: str, *words: str | Path) -> tuple[int, str]:
    """Run a command with streams of an encoding; its exit code, and the text of stdout and stderr."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n") for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["atonce", *map(str, words)])
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as ended:
            main()
        for stream in streams:
            stream.flush()
    code = ended.value.code
    text = "".join(stream.buffer.getvalue().decode(encoding) for stream in streams)
    return code if isinstance(code, int) else 0, text


@needs_any_file_name
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_character_is_an_error_and_no_control_code_gets_through(
    monkeypatch: pytest.MonkeyPatch, encoding: str, data: Path, model: Path, tmp_path: Path
) -> None:
    everything = ""
    for words in (
        ("doctor", data),
        ("evaluate", model, data, "--split", "all"),
        ("predict", model, data / "images", "--out", tmp_path / "out \x1b[7m"),
        ("train", data, "--out", tmp_path / "run", "--set", "model.\x1b[31m–=1"),
        ("recipes", "folder"),
        ("weights", "list"),
        ("--help",),
    ):
        code, text = said(monkeypatch, encoding, *words)
        assert code in (0, 2), text
        assert "Traceback" not in text
        everything += text
    for forbidden in ("\x1b", "\x07", "\x9b", "\u202e"):
        assert forbidden not in everything
    assert "\\x1b[31mred" in everything
    assert "unknown key 'model.\\x1b[31m" in everything
    if encoding == "utf-8":
        assert "Straße – 道路" in everything
    if encoding == "ascii":
        assert "Strasse - ??" in everything


@needs_any_file_name
def test_a_pipe_of_a_windows_console_takes_what_the_doctor_says(data: Path) -> None:
    process = start("doctor", data, env={**os.environ, "PYTHONIOENCODING": "cp437", "COLUMNS": "100"}, text=False)
    out: Any = process.communicate(timeout=120)[0]
    assert process.returncode == 0, out
    assert b"Stra\xe1e - ??" in out  # cp437 has the ß


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_told_whatever_its_name(monkeypatch: pytest.MonkeyPatch, model: Path, name: str) -> None:
    for encoding in ENCODINGS:
        code, text = said(monkeypatch, encoding, "predict", model, Path(f"{name}.png"))
        assert code == 2
        assert text.startswith("atonce: ")
        assert text.isprintable() or text.replace("\n", "").isprintable()


def test_what_rich_draws_itself_still_colours() -> None:
    stream = io.StringIO()
    console = PrintableConsole(file=stream, force_terminal=True, color_system="standard")
    console.print("[red]x[/red] \x1b[2K", highlight=False)
    assert stream.getvalue() == "\x1b[31mx\x1b[0m \\x1b[2K\n"


class Screen(io.StringIO):
    """What a terminal is sent."""

    def isatty(self) -> bool:
        """Say that somebody watches."""
        return True


def test_a_bar_is_drawn_by_codes_that_the_terminal_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", Screen())
    monkeypatch.setattr(sys, "stderr", screen)
    make_streams_printable()
    monkeypatch.setattr(atonce.progress, "console", PrintableConsole(stderr=True, color_system="256", width=80))
    with progress_bars() as bars:
        bars.draw("reading", 1, 4)
        bars.draw("reading", 4, 4)
        sys.stderr.write("a note\n")
    sent = screen.getvalue()
    assert "\x1b[2K" in sent
    assert "4/4" in sent
    assert "a note\n" in sent
    assert "\\r" not in sent
    assert "\\x1b" not in sent


def test_text_is_made_printable_and_short() -> None:
    assert printable("a\tb\nc\rd\x00\x7f") == "a\tb\nc\\rd\\x00\\x7f"
    assert printable("\u2066x") == "\\u2066x"
    assert shortened([1, 2]) == "[1, 2]"
    assert len(shortened("x" * 1000)) == 120
    assert plain_characters(UnicodeEncodeError("ascii", "a–…é日\udcff", 1, 6, "")) == ("-...e?\\xff", 6)
    with pytest.raises(UnicodeDecodeError):
        plain_characters(UnicodeDecodeError("ascii", b"\xff", 0, 1, ""))


@needs_any_file_name
def test_json_on_stdout_is_as_it_was(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    _, text = said(monkeypatch, "ascii", "doctor", data, "--json")
    assert [entry["name"] for entry in json.loads(text.splitlines()[0])["classes"]] == list(NAMES[:-1])


@needs_full_device
@pytest.mark.parametrize(
    "words", [("recipes",), ("recipes", "--json", "camvid"), ("recipes", "--explain"), ("--help",)]
)
def test_a_result_that_cannot_be_written_is_one_line(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "atonce", *words], stdout=full, stderr=PIPE, text=True, env=ENVIRONMENT
        )
    assert ended.stderr.startswith("atonce: cannot write to stdout: No space left on device; ")
    assert len(ended.stderr.splitlines()) == 1
    assert ended.returncode == 2


@needs_full_device
@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", ">&- 2>&-"])
def test_a_mistake_ends_with_2_where_nobody_can_be_told(stderr: str) -> None:
    command = f"exec {shlex.quote(sys.executable)} -m atonce recipes nosuch {stderr}"
    assert subprocess.run(["sh", "-c", command], env=ENVIRONMENT).returncode == 2
