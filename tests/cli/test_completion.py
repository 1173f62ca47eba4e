"""Shell completion: what the Tab key offers, and that it does not wait for torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from atonce.cli.completion import ENGINES, STUDY_NAMES
from atonce.data.formats import FORMATS
from atonce.inference.engines import ENGINES as KNOWN_ENGINES
from atonce.recipes import shipped_recipes
from atonce.recipes.schema import OptimConfig
from atonce.studies import STUDIES
from atonce.weights import REGISTRY
from tests.commands import Command
from tests.tiny import ENVIRONMENT

Offered = Callable[..., list[str]]


@pytest.fixture
def offered(atonce: Command, monkeypatch: pytest.MonkeyPatch) -> Offered:
    """Call the words with the cursor behind the last one, as bash does; what is offered, a list."""

    def run(*words: str) -> list[str]:
        typed = ["atonce", *words]
        with monkeypatch.context() as patch:
            patch.setenv("_ATONCE_COMPLETE", "complete_bash")
            patch.setenv("COMP_WORDS", " ".join(typed))
            patch.setenv("COMP_CWORD", str(len(typed) - 1))
            done = atonce()
        assert (done.code, done.err) == (0, "")
        return done.out.split()

    return run


def test_commands_and_options(offered: Offered) -> None:
    assert offered("ev") == ["evaluate"]
    assert offered("train", "data", "--dry") == ["--dry-run"]
    assert offered("weights", "v") == ["verify"]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("train", "data", "--recipe", ""), shipped_recipes()),
        (("ablate", "data", "--recipe", ""), shipped_recipes()),
        (("recipes", ""), shipped_recipes()),
        (("train", "data", "--format", ""), FORMATS),
        (("doctor", "data", "--format", ""), FORMATS),
        (("predict", "model", "a.png", "--engine", ""), ENGINES),
        (("serve", "model", "--engine", ""), ENGINES),
        (("ablate", "data", "--study", ""), STUDIES),
        (("train", "data", "--weights", ""), [*REGISTRY, "none"]),
        (("weights", "verify", ""), REGISTRY),
        (("weights", "convert", ""), REGISTRY),
        (("evaluate", "model", "data", "--split", ""), ["val", "train", "test", "all"]),
        (("export", "model", "--to", ""), ["onnx", "openvino"]),
        (("predict", "model", "a.png", "--labels", ""), ["palette", "grey", "values", "colours"]),
    ],
)
def test_values_by_name(offered: Offered, words: tuple[str, ...], values: object) -> None:
    assert sorted(offered(*words)) == sorted(values)  # type: ignore[call-overload]


def test_what_is_typed_already_narrows_it_down(offered: Offered) -> None:
    known = [name for name in shipped_recipes() if name.startswith("cam")]
    assert 0 < len(known) < len(shipped_recipes())
    assert offered("train", "data", "--recipe", "cam") == known
    assert offered("train", "data", "--recipe", "mine.ya") == []  # the shell looks for files then


def test_keys_of_recipes_and_their_values(offered: Offered) -> None:
    words = ("train", "data", "--set")
    assert {"weights=", "optim.lr=", "train.steps="} <= set(offered(*words, ""))
    assert offered(*words, "optim.lr") == ["optim.lr="]
    names = get_args(OptimConfig.model_fields["name"].annotation)
    assert offered(*words, "optim.na") == [f"optim.name={name}" for name in names]
    assert offered(*words, "optim.name=ad") == ["optim.name=adam", "optim.name=adamw"]
    assert offered(*words, "loss.l2_added=") == ["loss.l2_added=true", "loss.l2_added=false"]
    assert offered(*words, "data.ground_truth=") == [f"data.ground_truth={v}" for v in ("road", "lane", "null")]


def test_folders_and_models_are_left_to_the_shell(offered: Offered) -> None:
    assert offered("train", "da") == []
    assert offered("predict", "runs/m") == []


def test_the_engines_are_those_that_there_are() -> None:
    assert ENGINES == KNOWN_ENGINES


def test_a_key_press_does_not_wait_for_torch() -> None:
    code = """
import os, sys
from atonce.cli import main
sys.argv = ["atonce"]
try:
    main()
finally:
    print("HEAVY", sorted({"torch", "accelerate", "matplotlib", "kornia"} & set(sys.modules)), file=sys.stderr)
"""
    for words in ("train data --recipe ", "train data --format ", "ablate data --study ", "train data --set optim."):
        asked = {"_ATONCE_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"atonce {words}"}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT | asked, timeout=60
        )
        assert done.stderr == "HEAVY []\n", words
        assert done.stdout.count("\n") > 2


@pytest.mark.skipif(os.name != "posix" or shutil.which("bash") is None, reason="there is no bash here")
def test_bash_takes_the_script_that_is_installed(tmp_path: Path) -> None:
    program = tmp_path / "atonce"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m atonce "$@"\n')
    program.chmod(0o755)
    asked = ENVIRONMENT | {"_ATONCE_COMPLETE": "source_bash"}
    script = subprocess.run([program], capture_output=True, text=True, env=asked, timeout=60).stdout
    pressed = f"""
{script}
COMP_WORDS=(atonce train data --recipe kitti-) COMP_CWORD=4
_atonce_completion {program}
echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", pressed], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert (done.stdout, done.stderr) == ("kitti-road\n", "")


def test_the_studies_that_the_help_lists_are_those_there_are() -> None:
    assert tuple(STUDIES) == STUDY_NAMES
