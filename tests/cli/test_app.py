"""The command as a whole: its version, its help, and what merely importing the package costs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from tests.commands import Command
from tests.systems import needs_signals
from tests.tiny import ENVIRONMENT

COMMANDS = ("streets", "demo", "train", "evaluate", "predict", "recipes", "weights")


def test_the_version_is_shown(atonce: Command) -> None:
    from atonce import __version__

    assert atonce("--version").out == f"atonce {__version__}\n"


def test_help_names_the_commands_and_costs_no_torch() -> None:
    code = """
import sys
sys.argv = ["atonce", "--help"]
from atonce.cli import main
try:
    main()
finally:
    print("HEAVY", sorted({"torch", "numpy", "kornia", "accelerate", "matplotlib", "PIL"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert all(re.search(rf"\b{name}\b", done.stdout) for name in COMMANDS)
    assert "HEAVY []" in done.stdout


def test_importing_atonce_costs_no_torch() -> None:
    code = (
        "import sys, atonce; print(sorted({'torch', 'numpy', 'PIL', 'typer'} & set(sys.modules)), atonce.load.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.stdout == "[] load\n", done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(atonce: Command, command: str) -> None:
    shown = atonce(command, "--help")
    assert shown.code == 0
    assert "Usage: atonce" in shown.out
    assert "<bool>" not in shown.out


def test_commands_are_shown_in_the_order_of_use(atonce: Command) -> None:
    shown = atonce("--help").out
    positions = [
        shown.index(f"│ {name} ") for name in ("demo", "doctor", "train", "evaluate", "predict", "serve", "ablate")
    ]
    assert positions == sorted(positions)


def test_the_first_help_has_no_types_of_switches(atonce: Command) -> None:
    assert "<bool>" not in atonce("--help").out


@pytest.mark.parametrize(
    "command", ["ablate", "demo", "doctor", "evaluate", "export", "predict", "serve", "streets", "submit", "train"]
)
def test_every_command_has_the_knob_of_threads(atonce: Command, command: str) -> None:
    assert "--threads" in atonce(command, "--help").out


def test_threads_are_told_to_the_libraries_before_torch_is_imported() -> None:
    code = """
import os, sys
sys.argv = ["atonce", "recipes", "--threads", "2"]
from atonce.cli import main
try:
    main()
finally:
    import torch
    print("THREADS", torch.get_num_threads(), os.environ["GOMP_SPINCOUNT"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert "THREADS 2 1000" in done.stdout, done.stderr


def test_a_number_of_threads_that_is_none_is_one_line(atonce: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--threads" in atonce("recipes", "--threads", "0").mistake
    monkeypatch.setenv("ATONCE_THREADS", "many")
    assert atonce("recipes").mistake.startswith("atonce: ATONCE_THREADS is 'many'; expected a number of threads")


def test_every_public_name_is_there() -> None:
    import atonce

    assert all(getattr(atonce, name) is not None for name in atonce.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        atonce.nonsense  # noqa: B018


def test_packages_are_reached_without_importing_them() -> None:
    code = (
        "import sys, atonce; before = set(sys.modules); "
        "print(atonce.metrics.ConfusionMatrix.__name__, atonce.doctor.examine.__name__, "
        "atonce.streets.write_streets.__name__, 'atonce.metrics' in before, 'torch' in before)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["ConfusionMatrix", "examine", "write_streets", "False", "False"]


@needs_signals
def test_ctrl_c_while_python_imports_leaves_no_traceback() -> None:
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from atonce.__main__ import main\n"
        "main()"
    )
    stopped = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True)
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("export x --to onx", "--to onx; expected one of 'onnx', 'openvino'; see atonce export --help"),
        ("predict x y --opacity high", "--opacity is no number; expected one; see atonce predict --help"),
        ("predict x y --opacity 3", "--opacity is too large; expected 1 at most; see atonce predict --help"),
        ("doctor x --workers 0", "--workers is too small; expected 1 at least; see atonce doctor --help"),
        ("doctor x --workers 1.5", "--workers is no whole number; expected one; see atonce doctor --help"),
        ("trian x", "No such command 'trian'; did you mean 'train'?; see atonce --help"),
    ],
)
def test_what_is_mistyped_is_said_in_our_words(atonce: Command, words: str, said: str) -> None:
    assert " ".join(atonce(*words.split()).mistake.split()) == f"atonce: {said}"
