"""What is mistyped is said at once: before torch is imported, which takes seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Command
from tests.tiny import ENVIRONMENT

CODE = """
import sys
sys.argv = ["atonce", *sys.argv[1:]]
from atonce.cli import main
try:
    main()
finally:
    print("HEAVY", sorted({"torch", "kornia", "accelerate", "matplotlib"} & set(sys.modules)))
"""

Words = Callable[[Path, Path], tuple[str | Path, ...]]

# Options that a command has not got -> what is said of them.
OPTIONS = {
    "train --only": "--only is an option of evaluate and predict; see",
    "train --tta": "--tta is an option of evaluate and predict; see",
    "predict --resume": "--resume is an option of train; see",
    "train --version": "--version is an option of atonce itself; see",
    "train --size": "--size is an option of predict, and `--set data.size=...` here; see",
    "train --max-minute": "--max-minute; did you mean --max-minutes?; see",
    "train --output": "--output; did you mean --out?; see",
    "train --recpie": "--recpie; did you mean --recipe?; see",
    "train --nonsense": "--nonsense; see",
    "train --epochs": "--epochs is `--set train.epochs=...` here; see",
    "train --max_epochs": "--max_epochs is `--set train.epochs=...` here; see",
    "train --learning-rate": "--learning-rate is `--set optim.lr=...` here; see",
    "train --optim.lr": "--optim.lr is `--set optim.lr=...` here; see",
    "train --keep_prob": "--keep_prob is `--set model.dropout=...` here (1 - keep_prob); see",
    "train --encoder-weights": "--encoder-weights is --weights here; see",
    "train --num-classes": "--num-classes is no knob here: the classes are those of the data, or of its classes.yaml; see",
    "evaluate --batch-size": "--batch-size is `--set train.batch_size=...` of train; see",
    "predict --imgsz": "--imgsz is --size here; see",
    " --epochs": "--epochs is `--set train.epochs=...` of train; see",
    "train -x": "-x; see",
}

MISTYPED: dict[str, tuple[Words, str]] = {
    "train, data": (lambda data, model: ("train", "nowhere"), "nowhere does not exist; expected a folder"),
    "train, a path to weights": (
        lambda data, model: ("train", data, "--weights", model.with_name("mdel.safetensors")),
        "mdel.safetensors does not exist; expected a weights file (`atonce weights list` names the kinds); did you mean ",
    ),
    "train, a name of weights": (
        lambda data, model: ("train", data, "--weights", "vgg16-imagenet1k-feature"),
        "did you mean 'vgg16-imagenet1k-features'?",
    ),
    "train, a teacher": (
        lambda data, model: ("train", data, "--teacher", "no.safetensors"),
        "no.safetensors does not exist; expected a model file",
    ),
    "train, a recipe": (lambda data, model: ("train", data, "--recipe", "camvit"), "did you mean 'camvid'?"),
    "train, a knob": (lambda data, model: ("train", data, "--set", "optim.lrr=1"), "did you mean 'optim.lr'?"),
    "train, a format": (lambda data, model: ("train", data, "--format", "camvit"), "did you mean 'camvid'?"),
    "ablate, weights": (
        lambda data, model: ("ablate", data, "--study", "stride", "--weights", "no.pth"),
        "no.pth does not exist; expected a weights file",
    ),
    "evaluate, a model": (lambda data, model: ("evaluate", "no.safetensors", data), "expected a model file"),
    "evaluate, data": (lambda data, model: ("evaluate", model, "nowhere"), "nowhere does not exist"),
    "evaluate, data of another name": (
        lambda data, model: ("evaluate", model, data.with_name("dat")),
        "dat does not exist; expected a folder with a data set; did you mean ",
    ),
    "train, data of another name": (lambda data, model: ("train", data.with_name("dat")), "did you mean "),
    "doctor, data of another name": (lambda data, model: ("doctor", data.with_name("dat")), "did you mean "),
    "predict, pictures": (
        lambda data, model: ("predict", model, data, data / "trian"),
        "trian does not exist; expected pictures or videos, or folders of them; did you mean ",
    ),
    "submit, data": (lambda data, model: ("submit", model, "nowhere"), "nowhere does not exist"),
    "predict, a model": (lambda data, model: ("predict", "no.safetensors", data), "expected a model file"),
    "export, a model": (lambda data, model: ("export", "no.safetensors", "--to", "onnx"), "expected a model file"),
    "submit, a model": (lambda data, model: ("submit", "no.safetensors", data), "expected a model file"),
    "serve, a model": (lambda data, model: ("serve", "no.safetensors"), "expected a model file"),
}


@pytest.mark.parametrize("case", MISTYPED)
def test_it_is_said_before_torch_is_imported(case: str, street_data: Path, tiny_model: Path, tmp_path: Path) -> None:
    words, message = MISTYPED[case]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, words(street_data, tiny_model))],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == "HEAVY []\n"


@pytest.mark.parametrize("words", OPTIONS)
def test_an_option_of_something_else_is_told_from_a_mistyped_one(words: str, atonce: Command) -> None:
    name, option = words.split(" ")
    done = atonce(*filter(None, [name]), option, "3")
    assert done.code == 2
    assert " ".join(done.err.split()) == f"atonce: No such option: {OPTIONS[words]} {f'atonce {name}'.strip()} --help"


def test_other_commands_are_looked_up_without_torch(tmp_path: Path) -> None:
    words = [sys.executable, "-c", CODE, "train", "data", "--only", "road"]
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stdout) == (2, "HEAVY []\n")
    assert "--only is an option of" in done.stderr


def test_a_run_that_goes_on_needs_its_weights_no_more(tiny_run: Path, street_data: Path) -> None:
    from atonce.training import choose_run

    folder, recipe = choose_run(street_data, out=tiny_run, resume=True, overrides={"weights": "gone.pth"})
    assert (folder, recipe.weights) == (tiny_run, "gone.pth")
