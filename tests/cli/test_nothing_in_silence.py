"""Nothing wrong in silence: train, doctor, predict and evaluate say what reading the pictures loses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import atonce as package
from atonce.data.problem_notes import problem_notes
from atonce.labels import LabelSpec
from atonce.recipes import load_recipe
from atonce.training import run_training
from atonce.training.callbacks import Callback
from tests.commands import Command
from tests.data import trees
from tests.data.tiffs import write_tiff
from tests.doctor.scenes import smooth
from tests.networks import save_model
from tests.tiny import tiny_recipe

SIZE = (96, 64)
LABELS = LabelSpec.from_names(("a", "b", "c"))


def picture(seed: int) -> np.ndarray:
    return np.asarray(Image.fromarray(smooth(seed)).resize(SIZE))


def five_bands(seed: int) -> np.ndarray:
    return np.dstack([picture(seed), picture(seed + 50)[..., :2]])


INPUTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "12 bits as 16": (
        "x.png",
        lambda path: Image.fromarray(picture(1)[..., 0].astype("u2") * 16).save(path),
        "where 0..65535 is black to white: it is nearly black",
    ),
    "floats": (
        "x.tif",
        lambda path: Image.fromarray(picture(1)[..., 0].astype("f4") * 16).save(path),
        "where 0..1 (or 0..255) is black to white: ",
    ),
    "five bands": ("x.tif", lambda path: write_tiff(path, [five_bands(1)]), "has 5 bands; bands 1-3 are read"),
    "eight pages": (
        "x.tif",
        lambda path: write_tiff(path, [five_bands(i) for i in range(8)]),
        "has 8 pages, of which the first is read",
    ),
    "two pages": (
        "x.tif",
        lambda path: write_tiff(path, [picture(1), picture(2)]),
        "has 2 pages, of which the first is read",
    ),
    "alpha": (
        "x.png",
        lambda path: Image.fromarray(np.dstack([picture(1), picture(2)[..., 0]])).save(path),
        "with transparency, which is dropped",
    ),
    "near black": ("x.png", lambda path: Image.fromarray(picture(1) // 25).save(path), "is nearly black (grey levels "),
}


def data_with(root: Path, name: str, save: Callable[[Path], object], pictures: int = 12) -> Path:
    """images/ and masks/, in which every picture but every second is plain."""
    for i in range(pictures):
        image = root / "images" / f"{i}{Path(name).suffix}"
        image.parent.mkdir(parents=True, exist_ok=True)
        if i % 2:
            save(image)
        else:
            trees.save(image.with_suffix(".png"), picture(i + 100))
        trees.save(root / "masks" / f"{i}.png", trees.ids(i, (0, 1, 2), SIZE))
    (root / "classes.yaml").write_text("[a, b, c]")
    return root


def unwrapped(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("kind", INPUTS)
def test_all_four_commands_say_it(kind: str, tmp_path: Path, atonce: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, save, said = INPUTS[kind]
    data, model = data_with(tmp_path / "data", name, save), save_model(tmp_path / "m.safetensors", LABELS)
    assert said in unwrapped(atonce("doctor", data).out), "doctor"
    heard: list[str] = []

    class Notes(Callback):
        def on_note(self, text: str) -> None:
            heard.append(text)

    run_training(tiny_recipe("train.steps=1"), data, tmp_path / "run", callback=Notes())
    assert any(said in line for line in heard), "train"
    assert f"data: folder in {data}: 10 train, 2 val" in heard
    assert said in unwrapped(atonce("predict", model, data / "images").err), "predict"
    assert said in unwrapped(atonce("evaluate", model, data, "--quick", "--split", "train").err), "evaluate"


def test_python_is_warned(tmp_path: Path) -> None:
    name, save, said = INPUTS["near black"]
    data, model = data_with(tmp_path / "data", name, save), save_model(tmp_path / "m.safetensors", LABELS)
    with pytest.warns(UserWarning, match="is nearly black"):
        package.predict(model, data / "images", out=tmp_path / "out")
    with pytest.warns(UserWarning, match="is nearly black"):
        package.evaluate(model, data, split="train", quick=True, progress=False)
    heard: list[str] = []
    package.predict(model, data / "images", out=tmp_path / "again", on_note=heard.append)
    assert any(said in line for line in heard)


def test_bands_are_chosen_in_training_and_kept_in_use(tmp_path: Path, atonce: Command) -> None:
    data = data_with(tmp_path / "data", *INPUTS["five bands"][:2])
    for path in (data / "images").glob("*.png"):
        write_tiff(path.with_suffix(".tif"), [five_bands(int(path.stem))])
        path.unlink()
    told = atonce("doctor", data, "--bands", "5,4,1")
    assert told.code == 0 and "bands are not read" not in told.out and "5 bands of 8 bits" in unwrapped(told.out)
    assert "has 5 bands; expected 6 at least, for bands 6" in unwrapped(atonce("doctor", data, "--bands", "6").out)
    assert "bands are 1, 2; expected three numbers" in unwrapped(atonce("doctor", data, "--bands", "1,2").out)
    assert "expected numbers from 1 on, such as 4,3,2" in atonce("doctor", data, "--bands", "red").mistake
    recipe = tiny_recipe("train.steps=1", "data.bands=[5,4,1]")
    run_training(recipe, data, tmp_path / "run")
    segment = package.load(tmp_path / "run")
    assert segment.model_file.bands == (5, 4, 1)
    seen = segment(data / "images" / "0.tif").image
    assert np.array_equal(seen, five_bands(0)[..., [4, 3, 0]])
    done = atonce("predict", tmp_path / "run", data / "images", "--out", tmp_path / "out")
    assert done.code == 0 and "bands" not in done.err


def test_bands_of_a_recipe_are_one_or_three() -> None:
    assert load_recipe("folder", ["data.bands=[4]"]).data.bands == (4,)
    with pytest.raises(package.UserError, match=r"data\.bands"):
        load_recipe("folder", ["data.bands=[4,3]"])


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode on Windows")
def test_a_file_name_that_is_not_utf_8_works(tmp_path: Path, atonce: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = data_with(tmp_path / "data", *INPUTS["near black"][:2])
    for i in (0, 1, 3, 5):
        odd = os.fsdecode(b"caf\xe9%d.png" % i)
        try:
            (data / "images" / f"{i}.png").rename(data / "images" / odd)
        except OSError:
            pytest.skip("this file system takes UTF-8 alone")
        (data / "masks" / f"{i}.png").rename(data / "masks" / odd)
    told = atonce("doctor", data, "--out", tmp_path / "page.html")
    assert told.code == 0 and "12 pictures" in told.out
    assert "caf" in (tmp_path / "page.html").read_text("utf-8")
    run_training(tiny_recipe("train.steps=1"), data, tmp_path / "run")
    done = atonce("predict", tmp_path / "run", data / "images", "--out", tmp_path / "out")
    assert done.code == 0 and (tmp_path / "out" / "labels" / os.fsdecode(b"caf\xe90.png")).exists()
    assert atonce("evaluate", tmp_path / "run", data, "--out", tmp_path / "scores", "--split", "all").code == 0
    assert "caf%E90" in (tmp_path / "scores" / "pictures.csv").read_text("utf-8")


def test_notes_of_a_data_set_without_any_are_none() -> None:
    assert problem_notes([]) == []
