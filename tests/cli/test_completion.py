"""Shell completion: what the Tab key offers, and that it does not wait for torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import get_args

import pytest

from atonce.cli.bash_words import join
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
    # Of one answer alone a shell would take it that the word is whole, and put a blank behind it.
    assert offered(*words, "optim.lr") == ["optim.lr=", "optim.lr=0.0001"]
    assert offered(*words, "optim.lr=") == ["optim.lr=0.0001"]
    assert offered(*words, "data.crop=") == ["data.crop=[360,480]"]
    names = get_args(OptimConfig.model_fields["name"].annotation)
    assert offered(*words, "optim.na") == [f"optim.name={name}" for name in names]
    assert offered(*words, "optim.name=ad") == ["optim.name=adam", "optim.name=adamw"]
    assert offered(*words, "loss.l2_added=") == ["loss.l2_added=true", "loss.l2_added=false"]
    assert offered(*words, "data.format=labe") == ["data.format=label-studio", "data.format=labelme"]
    assert offered(*words, "data.ground_truth=") == [f"data.ground_truth={v}" for v in ("road", "lane", "null")]


def test_values_of_knobs_are_no_files_but_where_they_may_be(offered: Offered) -> None:
    """Without an answer, a shell completes names of files."""
    words = ("train", "data", "--set")
    assert offered(*words, "model.upsampling=l") == ["model.upsampling=learned"]
    assert offered(*words, "model.upsampling=labels") == ["model.upsampling=labels"]
    assert offered(*words, "optim.lr=0.3") == ["optim.lr=0.3"]
    for key in ("weights", "data.images", "data.masks", "distill.teacher"):
        assert offered(*words, f"{key}=runs/m") == []
    assert offered(*words, "wei") == ["weights="]


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


@pytest.mark.parametrize(
    ("words", "whole", "before"),
    [
        (["atonce", "train", "da"], ["atonce", "train", "da"], ""),
        (["--set", "optim.name", "=", "ad"], ["--set", "optim.name=ad"], "optim.name="),
        (["--set", "optim.name", "="], ["--set", "optim.name="], "optim.name="),
        (["--set", "optim.name", "=", ""], ["--set", "optim.name=", ""], ""),
        (["--set", "a", "=", "b", "--device", "cuda", ":"], ["--set", "a=b", "--device", "cuda:"], "cuda:"),
        (["hf", ":", "//me/net"], ["hf://me/net"], "hf:"),
        (["--recipe", "=", "c"], ["--recipe=c"], "--recipe="),
    ],
)
def test_words_that_bash_breaks_are_joined(words: list[str], whole: list[str], before: str) -> None:
    assert join(words) == (whole, before)


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Type a line and Tab into a bash with the script that is installed; what stands in the line then."""
    pty = pytest.importorskip("pty", reason="there is no terminal here")
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    folder = tmp_path_factory.mktemp("bash")
    program = folder / "atonce"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m atonce "$@"\n')
    program.chmod(0o755)
    asked = ENVIRONMENT | {"_ATONCE_COMPLETE": "source_bash"}
    script = subprocess.run([program], capture_output=True, text=True, env=asked, timeout=60).stdout
    (folder / "script").write_text(f"{script}\nPS1=\nbind 'set enable-bracketed-paste off'\n")
    (folder / "files").mkdir()
    for name in ("adam.txt", "labels.png", "runs-of-mine"):
        (folder / "files" / name).touch()

    def press_tab(line: str) -> str:
        # Ctrl-A, and the line becomes what echo is given; Tab before it, with the cursor at the end.
        typed = f"{line}\t\x01printf 'line<%s>' '\x05'\n"
        environment = ENVIRONMENT | {"PATH": f"{folder}:{os.environ['PATH']}", "TERM": "dumb", "COLUMNS": "500"}
        environment["HOME"] = str(folder)  # which holds the history
        ours, theirs = pty.openpty()
        try:
            with subprocess.Popen(
                ["bash", "--noprofile", "--rcfile", folder / "script", "-i"],
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=folder / "files",
            ) as shell:
                os.write(ours, typed.encode())
                os.write(ours, b"exit\n")
                out, _ = shell.communicate(timeout=60)
        finally:
            os.close(ours)
            os.close(theirs)
        (found,) = re.findall(r"line<(.*)>", out.decode())
        return str(found)

    return press_tab


@pytest.mark.parametrize(
    ("typed", "then"),
    [
        ("atonce train data --set optim.na", "atonce train data --set optim.name="),
        ("atonce train data --set optim.name=ad", "atonce train data --set optim.name=adam"),
        ("atonce train data --set model.upsampling=l", "atonce train data --set model.upsampling=learned "),
        ("atonce train data --set model.upsampling=lab", "atonce train data --set model.upsampling=lab "),
        ("atonce train data --set optim.lr", "atonce train data --set optim.lr="),
        ("atonce train data --set optim.lr=", "atonce train data --set optim.lr=0.0001 "),
        ("atonce train data --set weights=ru", "atonce train data --set weights=runs-of-mine "),
        ("atonce train data --recipe=kitti-", "atonce train data --recipe=kitti-road "),
        ("atonce predict m a.png --device cuda:1", "atonce predict m a.png --device cuda:1 "),
        ("atonce predict m lab", "atonce predict m labels.png "),
    ],
)
def test_bash_completes_what_it_breaks_at_signs(bash: Callable[[str], str], typed: str, then: str) -> None:
    assert bash(typed) == then


def test_the_studies_that_the_help_lists_are_those_there_are() -> None:
    assert tuple(STUDIES) == STUDY_NAMES
