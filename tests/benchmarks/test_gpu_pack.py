"""What is packed for a CUDA machine is whole; its steps are such as there are, and keep to their limits."""

from __future__ import annotations

import json
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest
import torch
import typer
from PIL import Image

from atonce import cli
from atonce.recipes import load_recipe
from benchmarks.__main__ import _parser as benchmark_options
from benchmarks.gpu import pack, packed_weights, run
from tests.data import trees
from tests.test_docs import mistakes


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of two small pictures a split and of convolutions of random weights, without wheels."""
    root = tmp_path_factory.mktemp("gpu")
    for split in ("train", "val"):
        for number in range(2):
            trees.save(root / "camvid" / split / f"{split}{number}.png", trees.picture(number, (64, 48)))
            mask = trees.ids(number, range(11), (64, 48))
            trees.save(root / "camvid" / f"{split}annot" / f"{split}{number}.png", mask)
    torch.save(
        {f"features.{i}.{kind}": torch.randn(3, 2) for i in range(13) for kind in ("weight", "bias")}, root / "vgg.pth"
    )
    words = [
        "--data",
        str(root / "camvid"),
        "--weights",
        str(root / "vgg.pth"),
        "--out",
        str(root / "pack"),
        "--no-wheels",
    ]
    pack.main(words)
    return root / "pack"


def test_weights_come_back_as_float16_has_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tensors = {
        "a": random.normal(0, 0.05, (8, 3, 3, 3)).astype(np.float32),
        "b": np.array([0, -1e-9, 65504, 3.25], np.float32),
    }
    packed_weights.write(tmp_path / "weights.zip", tensors)
    found = packed_weights.read(tmp_path / "weights.zip")
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor.astype(np.float16).astype(np.float32))


def test_a_pack_holds_jpeg_pictures_masks_as_they_were_and_says_when_it_is_too_large(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file())
    assert "camvid/train/train0.jpg" in names
    source = packed.parent / "camvid" / "valannot" / "val1.png"
    with Image.open(source) as one, Image.open(packed / "camvid" / "valannot" / "val1.png") as other:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    words = ["--data", str(packed.parent / "camvid"), "--weights", str(packed.parent / "vgg.pth"), "--no-wheels"]
    with pytest.raises(SystemExit) as ended:
        pack.main([*words, "--out", str(tmp_path / "pack"), "--most-mib", "0.001"])
    assert ended.value.code == 2
    assert "expected at most 0.001" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit):
        pack.main([*words, "--out", str(tmp_path / "mine")])
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_every_step_is_done_and_one_that_hangs_costs_no_more_than_its_limit(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def few(work: Path, **_: object) -> list[run.Step]:
        assert (work / "camvid" / "train" / "train0.jpg").is_file()
        assert (work / "vgg16.safetensors").is_file()
        return [
            run.Step("hangs", 0.5, ("-c", "import time; time.sleep(60)")),
            run.Step("fails", 30, ("-c", "raise SystemExit(3)")),
            run.Step("says", 30, ("-c", "print('as it should')")),
        ]

    monkeypatch.setattr(run, "steps", few)
    monkeypatch.setattr(run, "ROOT", Path(__file__).parents[2])
    assert run.main([str(packed), "--out", str(tmp_path / "out"), "--device", "cpu", "--tiny"]) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "log.txt",
        "report.md",
        "results.json",
        "run.zip",
    ]
    codes = [step["code"] for step in json.loads((tmp_path / "out" / "results.json").read_text())["steps"]]
    assert codes == ["stopped at its limit", 3, 0]
    assert "as it should" in (tmp_path / "out" / "log.txt").read_text()


@pytest.mark.parametrize("tiny", [False, True])
def test_the_steps_are_commands_options_recipes_and_tests_that_there_are(tiny: bool) -> None:
    for module in iter_modules(cli.__path__):
        import_module(f"atonce.cli.{module.name}")
    _, tests, short, bench, long = run.steps(Path("work"), device="cuda", minutes=9, tiny=tiny)
    assert (run.ROOT / tests.words[-1]).is_file()
    assert bench.words[:2] == ("-m", "benchmarks")
    assert benchmark_options().parse_args(bench.words[2:]).device == "cuda"
    for step in (short, long):
        assert step.words[:3] == ("-m", "atonce", "train")
        assert mistakes(typer.main.get_command(cli.app), list(step.words[2:])) == []
        given = list(pairwise(step.words))
        (recipe,) = (value for option, value in given if option == "--recipe")
        load_recipe(recipe, [value for option, value in given if option == "--set"])


@pytest.mark.parametrize("minutes", [5, 9, 30])
def test_the_limits_of_all_steps_fit_into_the_time(minutes: int) -> None:
    found = run.steps(Path("work"), device="cuda", minutes=minutes, tiny=False)
    assert [step.name for step in found] == ["versions", "tests", "training of 20 steps", "bench", "CamVid"]
    assert sum(step.limit for step in found) <= 60 * minutes
