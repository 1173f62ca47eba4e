"""What users get wrong: exit code 2 and one line that names the thing, says what was expected and what to do."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from atonce import load, load_recipe
from atonce.training import run_training, validation
from tests.commands import Command, Outcome
from tests.data import trees
from tests.systems import needs_linux_memory, needs_signals
from tests.tiny import ENVIRONMENT, log_of, set_options

resource = pytest.importorskip("resource", reason="limits on memory, which only POSIX systems have")


@dataclass(frozen=True)
class World:
    """What the cases are made from; `tmp` is theirs to fill."""

    tmp: Path
    data: Path
    model: Path
    run: Path

    def copy_of_data(self) -> Path:
        return Path(shutil.copytree(self.data, self.tmp / "data"))

    def copy_of_run(self) -> Path:
        return Path(shutil.copytree(self.run, self.tmp / "run"))


@pytest.fixture
def world(tmp_path: Path, street_data: Path, tiny_model: Path, tiny_run: Path) -> World:
    return World(tmp_path, street_data, tiny_model, tiny_run)


Case = tuple[Callable[[World], list[str | Path]], tuple[str, ...]]
"""The command's words, and regular expressions that its one line holds."""


def train_words(data: Path, out: Path, *settings: str) -> list[str | Path]:
    return ["train", data, "--out", out, *set_options(*settings)]


def train_on(build: Callable[[Path], object]) -> Callable[[World], list[str | Path]]:
    def words(world: World) -> list[str | Path]:
        root = world.tmp / "data"
        root.mkdir()
        build(root)
        return train_words(root, world.tmp / "out")

    return words


def train_with(*settings: str, then: tuple[str, ...] = ()) -> Callable[[World], list[str | Path]]:
    return lambda world: [*train_words(world.data, world.tmp / "out", *settings), *then]


def nothing(_: Path) -> None: ...


# --- data ------------------------------------------------------------------------------------------------------------


def first_mask(root: Path) -> Path:
    return min((root / "masks").iterdir())


def stray_value(root: Path) -> None:
    trees.folder_palette(root)
    (root / "classes.yaml").write_text(trees.CLASSES_YAML)
    mask = np.zeros((trees.HEIGHT, trees.WIDTH), np.uint8)
    mask[3, 4:9] = 200
    trees.save(first_mask(root), mask)


def truncated_picture(root: Path) -> None:
    trees.folder(root)
    path = trees.save(root / "images" / "street0.png", trees.picture(0))
    (root / "images" / "street0.jpg").unlink()
    path.write_bytes(path.read_bytes()[:-200])


def text_called_png(root: Path) -> None:
    trees.folder_palette(root)
    (root / "images" / "street1.png").write_text("this is my picture\n")


def larger_mask(root: Path) -> None:
    trees.folder(root)
    trees.save(first_mask(root), trees.ids(0, (0, 1, 2), (72, 48)))


def misnamed_mask(root: Path) -> None:
    trees.folder(root)
    first_mask(root).rename(first_mask(root).with_name("Street0.png"))


def something_else(world: World) -> list[str | Path]:
    (world.tmp / "notes.txt").write_text("x")
    return ["train", world.tmp, "--out", world.tmp / "out"]


def file_called_data(world: World) -> list[str | Path]:
    path = world.tmp / "data.zip"
    path.write_bytes(b"PK")
    return train_words(path, world.tmp / "out")


DATA: dict[str, Case] = {
    "missing folder": (
        lambda world: train_words(world.tmp / "nowhere", world.tmp / "out"),
        ("nowhere does not exist", "expected a folder with a data set"),
    ),
    "empty folder": (train_on(nothing), ("data is empty", "expected a folder with a data set", "images/ masks/")),
    "a file instead of a folder": (file_called_data, (r"data\.zip is a file", "unpack it")),
    "a folder of something else": (
        something_else,
        ("holds notes.txt, which is no layout known", "images/ masks/"),
    ),
    "RGB masks without classes": (
        train_on(lambda root: trees.folder_rgb(root, classes=None)),
        (r"masks/street0\.png|masks", "classes.yaml", "colour"),
    ),
    "mask value 200": (train_on(stray_value), (r"street0\.png", "200", r"\b0\b")),
    "truncated PNG": (train_on(truncated_picture), (r"street0\.png", "expected an intact", "copy or export it again")),
    "text called PNG": (train_on(text_called_png), (r"street1\.png is not a picture", "expected PNG, JPEG")),
    "mask larger than its picture": (
        train_on(larger_mask),
        (r"masks/street0\.png is 72x48", r"expected the size of its picture street0\.jpg, 36x24", "export the mask"),
    ),
    "a mask named otherwise": (
        train_on(misnamed_mask),
        (r"street0\.jpg has no mask", r"expected a mask named street0\.png", "differs in upper and lower case only"),
    ),
    "wrong --format": (
        lambda world: ["train", world.data, "--format", "camvit", "--out", world.tmp / "out"],
        ("there is no format 'camvit'", "expected one of", "did you mean 'camvid'"),
    ),
    "another --format than the data's": (
        lambda world: ["train", world.data, "--format", "voc", "--recipe", "streets", "--out", world.tmp / "out"],
        ("for --format voc", "holds classes.yaml"),
    ),
    "evaluate: a split that does not exist": (
        lambda world: ["evaluate", world.model, world.data, "--split", "validation"],
        ("no pictures in split 'validation'", r"expected one of: train \(6\), val \(3\)"),
    ),
    "evaluate: missing data": (
        lambda world: ["evaluate", world.model, world.tmp / "nowhere"],
        ("nowhere does not exist", "expected a folder with a data set"),
    ),
}


# --- recipes and words of the command ---------------------------------------------------------------------------------


def broken_yaml(world: World) -> list[str | Path]:
    path = world.tmp / "mine.yaml"
    path.write_text("model: {stride: 8\noptim:\n")
    return ["train", world.data, "--recipe", path]


def yaml_of_bytes(world: World) -> list[str | Path]:
    path = world.tmp / "mine.yaml"
    path.write_bytes(b"model: \xff\xfe")
    return ["train", world.data, "--recipe", path]


def yaml_of_a_list(world: World) -> list[str | Path]:
    path = world.tmp / "mine.yaml"
    path.write_text("- model\n- train\n")
    return ["train", world.data, "--recipe", path]


WORDS: dict[str, Case] = {
    "misspelt key": (train_with("optim.lrr=1"), (r"unknown key 'optim\.lrr', did you mean 'optim\.lr'\?",)),
    "key of another section": (train_with("train.lr=1"), (r"unknown key 'train\.lr', did you mean 'optim\.lr'\?",)),
    "wrong type": (train_with("train.steps=many"), (r"train\.steps = 'many': expected a whole number",)),
    "zero steps": (train_with("train.steps=0"), (r"train\.steps = 0: expected at least 1",)),
    "negative rate": (
        train_with("optim.lr=-1e-3"),
        (r"optim\.lr = '?-(0\.00)?1(e-3)?'?: expected more than 0",),
    ),
    "infinite rate": (train_with("optim.lr=.inf"), (r"optim\.lr = inf: expected a finite number",)),
    "negative seed": (
        train_with(then=("--seed", "-1")),
        (r"train\.seed = -1: expected at least 0",),
    ),
    "zero minutes": (train_with(then=("--max-minutes", "0")), (r"train\.max_minutes = 0\.0: .*expected more than 0",)),
    "range upside down": (train_with("augment.scale=[2, 1]"), (r"augment\.scale = \[2, 1\]: .*first number",)),
    "unknown recipe": (
        lambda world: ["train", world.data, "--recipe", "camvod"],
        ("no recipe 'camvod'", "expected one of camvid", "did you mean 'camvid'"),
    ),
    "missing recipe file": (
        lambda world: ["train", world.data, "--recipe", world.tmp / "my.yaml"],
        (r"my\.yaml does not exist", "expected a recipe file"),
    ),
    "broken YAML": (broken_yaml, (r"mine\.yaml is not valid YAML", "line 2")),
    "YAML that is not text": (yaml_of_bytes, (r"mine\.yaml cannot be read", "text in UTF-8")),
    "YAML that is a list": (yaml_of_a_list, (r"mine\.yaml holds a list", "sections such as 'model:'")),
    "--set without =": (train_with("train.steps"), (r"--set train\.steps", r"expected section\.key=value")),
    "--set of broken YAML": (train_with("data.crop=[1"), (r"--set 'data\.crop=\[1'", "not valid YAML")),
    "--set below a value": (
        train_with("weights.file=x"),
        (r"weights = \{'file': 'x'\}: expected a string",),
    ),
    "class weights of wrong length": (
        train_with("loss.class_weights=[1, 2, 3]"),
        (r"loss\.class_weights holds 3 weights", "expected 11, one per class"),
    ),
    "batch not divisible": (
        train_with("train.accumulate=2", "train.batch_size=3"),
        (r"train\.batch_size = 3 for 1 processes x 2 parts", "expected a multiple of 2"),
    ),
    "fp16 without a GPU": (train_with("train.precision=fp16"), ("fp16", "expected fp32, bf16 or auto")),
    "ground truth of another data set": (train_with("data.ground_truth=lane"), ("ground_truth", "kitti-road")),
    "unknown command": (lambda world: ["trian", world.data], ("No such command 'trian'", "--help")),
    "unknown option": (
        lambda world: ["train", world.data, "--epochs", "3"],
        ("No such option: --epochs", "train --help"),
    ),
    "missing argument": (lambda world: ["evaluate", world.model], ("Missing argument", "evaluate --help")),
    "option out of range": (
        lambda world: ["predict", world.model, world.data, "--opacity", "2"],
        ("--opacity", "is too large; expected 1 at most"),
    ),
    "--resume without a run": (
        lambda world: ["train", world.data, "--out", world.tmp / "never", "--resume"],
        ("never holds no run", "expected a run directory to resume"),
    ),
    "--resume with a recipe": (
        lambda world: ["train", world.data, "--out", world.run, "--resume", "--recipe", "camvid"],
        ("--resume with --recipe camvid", "leave out --recipe"),
    ),
    "--out that holds a run": (
        lambda world: train_words(world.data, world.run),
        ("already holds a run", "expected a new folder", "add --resume"),
    ),
    "unknown device": (
        lambda world: ["predict", world.model, world.data, "--device", "gpu9"],
        ("there is no device 'gpu9' here", "expected one of cpu"),
    ),
    "device that is not there": (
        lambda world: ["evaluate", world.model, world.data, "--device", "cuda:99"],
        ("there is no device 'cuda:99' here", "expected one of cpu"),
    ),
    "recipes: unknown name": (lambda world: ["recipes", "streats"], ("no recipe 'streats'", "did you mean 'streets'")),
    "streets: no scene": (
        lambda world: ["streets", world.tmp / "s", "--train", "0"],
        ("--train", "--train is too small; expected 1 at least"),
    ),
}


# --- weights and models -----------------------------------------------------------------------------------------------


class Payload:
    """Runs code where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def malicious(world: World, kind: str) -> Path:
    path = world.tmp / "vgg16.pth"
    payload = {"features.0.weight": Payload(world.tmp / "pwned")}
    if kind == "torch":
        torch.save(payload, path)
    else:
        path.write_bytes(pickle.dumps(payload))
    return path


def malicious_weights(kind: str) -> Callable[[World], list[str | Path]]:
    return lambda world: [*train_words(world.data, world.tmp / "out"), "--weights", malicious(world, kind)]


def pretrained(world: World) -> Path:
    path = world.tmp / "vgg16.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    return path


def plain_tensors(world: World) -> Path:
    path = world.tmp / "plain.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    return path


def damaged(world: World) -> Path:
    path = world.tmp / "half.safetensors"
    path.write_bytes(world.model.read_bytes()[:5000])
    return path


def changed(world: World, change: Callable[[dict[str, object]], object]) -> Path:
    """The model with another description of itself."""
    with safe_open(world.model, "pt") as file:
        about = json.loads(file.metadata()["atonce"])
    change(about)
    path = world.tmp / "changed.safetensors"
    save_file(load_file(world.model), path, {"format": "pt", "atonce": json.dumps(about)})
    return path


def architecture(**values: object) -> Callable[[dict[str, object]], object]:
    def change(about: dict[str, object]) -> None:
        known = about["architecture"]
        assert isinstance(known, dict)
        known.update(values)

    return change


def broken_json(world: World) -> Path:
    path = world.tmp / "changed.safetensors"
    save_file(load_file(world.model), path, {"format": "pt", "atonce": "{not json"})
    return path


def predict_with(model: Callable[[World], Path]) -> Callable[[World], list[str | Path]]:
    return lambda world: ["predict", model(world), world.data / "val" / "images", "--out", world.tmp / "out"]


def weights_are(weights: Callable[[World], Path | str]) -> Callable[[World], list[str | Path]]:
    return lambda world: [*train_words(world.data, world.tmp / "out"), "--weights", weights(world)]


def with_teacher(teacher: Callable[[World], Path]) -> Callable[[World], list[str | Path]]:
    return lambda world: [*train_words(world.data, world.tmp / "out"), "--teacher", teacher(world)]


def other_classes(world: World) -> list[str | Path]:
    return ["evaluate", world.model, trees.folder_palette(world.tmp / "data")]


def no_pictures(world: World) -> list[str | Path]:
    (world.tmp / "empty").mkdir()
    (world.tmp / "empty" / "notes.txt").write_text("x")
    return ["predict", world.model, world.tmp / "empty"]


MODELS: dict[str, Case] = {
    "malicious .pth": (
        malicious_weights("torch"),
        (r"vgg16\.pth holds more than tensors", "could run code", "state_dict"),
    ),
    "malicious pickle": (malicious_weights("pickle"), (r"vgg16\.pth", "expected a")),
    "missing weights": (
        weights_are(lambda world: world.tmp / "none.pth"),
        (r"none\.pth does not exist", "expected a weights file"),
    ),
    "misspelt weights": (
        weights_are(lambda _: "vgg16-imagenet1k-v2"),
        ("no weights 'vgg16-imagenet1k-v2'", "did you mean"),
    ),
    "an atonce model of another width as weights": (
        lambda world: [*train_words(world.data, world.tmp / "out", "model.width=0.25"), "--weights", world.model],
        ("do not fit the network", r"trunk\.conv1_1\.weight is \(8, 3, 3, 3\) instead of \(16, 3, 3, 3\)"),
    ),
    "text as weights": (
        weights_are(lambda world: trees_text(world.tmp / "vgg.pth")),
        (r"vgg\.pth is not a weights file", r"expected a"),
    ),
    "incomplete weights": (weights_are(pretrained), (r"vgg16\.pth", "VGG-16")),
    "missing model": (
        predict_with(lambda world: world.tmp / "none.safetensors"),
        (r"none\.safetensors does not exist", "expected a model file"),
    ),
    "pretrained weights as a model": (predict_with(pretrained), (r"vgg16\.pth", "expected a model file of atonce")),
    "malicious pickle as a model": (
        predict_with(lambda world: malicious(world, "torch")),
        (r"vgg16\.pth", "expected a model file"),
    ),
    "plain tensors as a model": (
        predict_with(plain_tensors),
        (
            r"plain\.safetensors holds tensors but no description",
            "expected a model file",
            "atonce train. with --weights",
        ),
    ),
    "damaged model": (predict_with(damaged), (r"half\.safetensors is not a safetensors file or is damaged",)),
    "model of another architecture than it says": (
        predict_with(lambda world: changed(world, architecture(head_width=32))),
        (r"changed\.safetensors is of another architecture than it says", r"head\.fc6\.weight is \(16, 64, 7, 7\)"),
    ),
    "model of more memory than there is": (
        predict_with(lambda world: changed(world, architecture(width=1e6, head_width=10**7))),
        (r"changed\.safetensors", "another architecture|network unknown here"),
    ),
    "model of a stride that is unknown": (
        predict_with(lambda world: changed(world, architecture(stride=4))),
        (r"changed\.safetensors describes a network unknown here", "expected a model file of atonce"),
    ),
    "model of a later format": (
        predict_with(lambda world: changed(world, lambda about: about.update(format_version=99))),
        (r"changed\.safetensors has model file format 99", "expected 1", "newer atonce"),
    ),
    "model without labels": (
        predict_with(lambda world: changed(world, lambda about: about.pop("labels"))),
        (r"changed\.safetensors describes a network unknown here", "labels"),
    ),
    "model without an input size": (
        predict_with(lambda world: changed(world, lambda about: about.pop("input_size"))),
        (r"changed\.safetensors describes a network unknown here", "input_size"),
    ),
    "model with broken JSON": (predict_with(broken_json), (r"changed\.safetensors describes itself in broken JSON",)),
    "model's classes are not the data's": (
        other_classes,
        (r"the model knows 11 classes \(Sky", "expected those of .*data: 3", "use a model that was trained"),
    ),
    "missing teacher": (
        with_teacher(lambda world: world.tmp / "none.safetensors"),
        (r"none\.safetensors does not exist", "expected a model file"),
    ),
    "pretrained weights as a teacher": (with_teacher(pretrained), (r"vgg16\.pth", "expected a model file of atonce")),
    "teacher's classes are not the data's": (
        lambda world: [
            *train_words(trees.folder_palette(world.tmp / "data"), world.tmp / "out"),
            *("--teacher", world.model),
        ],
        (r"the teacher .*model\.safetensors knows 11 classes \(Sky", "expected those of .*data: 3"),
    ),
    "nothing to predict": (no_pictures, ("no pictures or videos in .*empty", "expected files of type")),
    "a missing picture": (
        lambda world: ["predict", world.model, world.tmp / "none.jpg"],
        (r"none\.jpg does not exist", "expected pictures or videos, or folders of them"),
    ),
}


def trees_text(path: Path) -> Path:
    path.write_text("not weights\n" * 100)
    return path


@pytest.mark.parametrize(("words", "patterns"), DATA.values(), ids=DATA)
def test_broken_data_are_told_in_one_line(
    world: World, atonce: Command, words: Callable[[World], list[str | Path]], patterns: tuple[str, ...]
) -> None:
    assert_told(atonce(*words(world)), patterns)
    assert not (world.tmp / "out").exists(), "a training that never began left a run"


@pytest.mark.parametrize(("words", "patterns"), WORDS.values(), ids=WORDS)
def test_wrong_words_are_told_in_one_line(
    world: World, atonce: Command, words: Callable[[World], list[str | Path]], patterns: tuple[str, ...]
) -> None:
    assert_told(atonce(*words(world)), patterns)
    assert not (world.tmp / "out").exists(), "a training that never began left a run"


@pytest.mark.parametrize(("words", "patterns"), MODELS.values(), ids=MODELS)
def test_wrong_models_are_told_in_one_line(
    world: World, atonce: Command, words: Callable[[World], list[str | Path]], patterns: tuple[str, ...]
) -> None:
    assert_told(atonce(*words(world)), patterns)
    assert not (world.tmp / "pwned").exists(), "code of a pickle has run"


def assert_told(outcome: Outcome, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        assert re.search(pattern, outcome.mistake), f"{pattern!r} is not in: {outcome.mistake}"


def test_the_payload_of_these_tests_works(tmp_path: Path) -> None:
    """Otherwise they would prove nothing."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "pwned")))
    assert (tmp_path / "pwned").exists()


def test_all_problems_of_a_data_set_are_told_at_once(world: World, atonce: Command) -> None:
    root = trees.folder(world.tmp / "data")
    first_mask(root).rename(first_mask(root).with_name("street0 (1).png"))
    (root / "images" / "street1.jpg").write_text("no picture")
    trees.save(root / "masks" / "street2.png", trees.ids(0, (0, 1), (72, 48)))
    outcome = atonce(*train_words(root, world.tmp / "out"))
    assert outcome.code == 2
    start = outcome.err.index("atonce: 4 problems in")
    told = outcome.err[start:]
    for name in ("street0.jpg", "street0 (1).png", "street1", "street2"):
        assert name in told
    assert all(line.startswith("  ") for line in told.splitlines()[1:])


# --- loss ------------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_and_the_run_goes_on_from_before(world: World, atonce: Command) -> None:
    run = world.copy_of_run()
    state = (run / "state" / "state.safetensors").read_bytes()
    settings = ("--set", "train.steps=9", "--set", "optim.lr=1e30", "--set", "optim.warmup_steps=0")
    told = atonce("train", world.data, "--out", run, "--resume", *settings).mistake
    assert re.search(r"the (loss|gradient) is (nan|inf) at step \d+; expected a finite number", told)
    assert "--resume --set optim.lr=2.5e+29" in told
    assert (run / "state" / "state.safetensors").read_bytes() == state
    done = atonce("train", world.data, "--out", run, "--resume", "--set", "optim.lr=1e-4")
    assert done.code == 0, done.err
    assert [row["step"] for row in log_of(run)] == list(range(1, 10))


def test_a_run_whose_first_steps_explode_begins_again_with_a_lower_rate(world: World, atonce: Command) -> None:
    out = world.tmp / "out"
    words = train_words(world.data, out, "optim.lr=1e30", "optim.warmup_steps=0")
    assert "a finite number" in atonce(*words).mistake
    run_training(load_recipe(out / "recipe.yaml", ["optim.lr=1e-4"]), world.data, out, resume=True)
    assert [row["step"] for row in log_of(out)] == [1, 2, 3, 4]


# --- disk ------------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size, for those who may mount one."""
    folder.mkdir()
    if sys.platform != "linux":
        pytest.skip("a tmpfs can be mounted on Linux alone")
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield folder
    finally:
        # Lazily: whoever still holds a file there must not keep pytest from removing the folder.
        subprocess.run(["umount", "--lazy", folder], check=True)


def usable(run: Path, data: Path) -> None:
    """What the run had before can still be used and gone on with."""
    load(run / "model.safetensors")(np.zeros((9, 9, 3), np.uint8))
    run_training(load_recipe(run / "recipe.yaml", ["train.steps=6"]), data, run, resume=True)
    assert [row["step"] for row in log_of(run)] == [1, 2, 3, 4, 5, 6]


def test_a_full_disk_is_told_and_the_model_before_is_intact(world: World, atonce: Command) -> None:
    size = sum(path.stat().st_size for path in world.run.rglob("*") if path.is_file())
    with small_disk(world.tmp / "disk", f"{size // 1024 + 400}k") as disk:
        run = Path(shutil.copytree(world.run, disk / "run"))
        before = {name: (run / name).read_bytes() for name in ("model.safetensors", "state/state.safetensors")}
        fill(disk)
        told = atonce("train", world.data, "--out", run, "--resume", "--set", "train.steps=8").mistake
        assert re.search(r"cannot write .*/run.*: .*[Nn]o space left on device", told)
        assert "free some space" in told
        assert {name: (run / name).read_bytes() for name in before} == before
        assert not list(run.rglob(".*.tmp*"))
        (disk / "ballast").unlink()
        shutil.copytree(run, world.tmp / "elsewhere")
    usable(world.tmp / "elsewhere", world.data)


def fill(disk: Path) -> None:
    """Leave 64 KiB: enough to go on logging, too little for a state."""
    free = os.statvfs(disk)
    (disk / "ballast").write_bytes(b"\0" * max(0, free.f_bavail * free.f_frsize - 64 * 1024))


@pytest.mark.parametrize(
    "victim", ["state.safetensors", "model.safetensors", "last.safetensors", "metrics.csv", "recipe.yaml"]
)
def test_whatever_file_meets_the_full_disk_the_run_can_go_on(
    world: World, atonce: Command, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    run = world.copy_of_run()
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if Path(target).name == victim:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    (whole,) = run.rglob(victim)
    before = whole.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        # Better than all before: only such a model is written.
        patch.setattr(validation, "_finite", lambda _: 1.0)
        mistake = atonce("train", world.data, "--out", run, "--resume", "--set", "train.steps=8").mistake
    assert f"{victim}: No space left on device; free some space or choose another folder" in mistake
    assert whole.read_bytes() == before, "the file before is left as it was"
    assert not list(run.rglob(".*.tmp*"))
    usable(run, world.data)


@needs_signals
@needs_linux_memory
def test_a_limit_on_the_size_of_files_is_told(world: World) -> None:
    """ulimit -f: the system's own refusal, in a process of its own."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, "-m", "atonce", *map(str, train_words(world.data, world.tmp / "out"))]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, preexec_fn=limit, timeout=120)
    told = Outcome(done.returncode, done.stdout, done.stderr).mistake
    assert re.search(r"cannot write .*\.safetensors: .*File too large", told)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write there, not even root where the file system knows `chattr +i`."""
    folder.mkdir()
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root and not shutil.which("chattr"):
        pytest.skip("root may write anywhere, and there is no chattr to forbid it")
    locked = root and not subprocess.run(["chattr", "+i", folder], capture_output=True).returncode
    if root and not locked:
        pytest.skip("root may write anywhere, and this file system does not know chattr +i")
    try:
        yield
    finally:
        if locked:
            subprocess.run(["chattr", "-i", folder], check=True)
        folder.chmod(0o755)


@pytest.mark.parametrize("verb", ["train", "predict", "evaluate", "streets"])
def test_a_read_only_folder_is_told(world: World, atonce: Command, verb: str) -> None:
    folder = world.tmp / "locked"
    with read_only(folder):
        outcome = atonce(*writing(verb, world, folder / "out"))
    assert_told(outcome, (r"locked", "(Operation not permitted|Permission denied|Read-only)", "folder"))


@pytest.mark.parametrize("verb", ["train", "predict", "evaluate", "streets"])
def test_a_file_where_a_folder_should_be_is_told(world: World, atonce: Command, verb: str) -> None:
    (world.tmp / "file").write_text("I was here first")
    outcome = atonce(*writing(verb, world, world.tmp / "file" / "out"))
    assert_told(outcome, (r"file/out", os.strerror(errno.ENOTDIR), "folder"))
    outcome = atonce(*writing(verb, world, world.tmp / "file"))
    assert_told(outcome, (r"file", "folder"))
    assert (world.tmp / "file").read_text() == "I was here first"


def writing(verb: str, world: World, out: Path) -> list[str | Path]:
    words: dict[str, list[str | Path]] = {
        "train": train_words(world.data, out),
        "predict": ["predict", world.model, world.data / "val" / "images", "--out", out],
        "evaluate": ["evaluate", world.model, world.data, "--out", out],
        "streets": ["streets", out, "--train", "1", "--val", "1"],
    }
    return words[verb]


def test_names_that_look_like_markup_are_shown_as_they_are(world: World, atonce: Command) -> None:
    root = Path(shutil.copytree(world.data, world.tmp / "[bold] [/x]"))
    done = atonce("evaluate", world.model, root)
    assert done.code == 0, done.err
    assert "[bold] [/x] (val)" in done.out


def test_there_are_more_than_twenty_and_each_asks_for_words_of_the_message() -> None:
    cases = [*DATA.values(), *WORDS.values(), *MODELS.values()]
    assert len(cases) > 20
    assert len({*DATA, *WORDS, *MODELS}) == len(cases), "two cases share a name"
    # A pattern that matches nothing in particular would let any message pass.
    assert not [pattern for _, patterns in cases for pattern in patterns if re.search(pattern, "atonce: ; expected ")]
