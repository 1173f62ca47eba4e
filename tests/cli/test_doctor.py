"""atonce doctor, as it is called."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.commands import Command
from tests.data import trees
from tests.data.painted import painted_folder
from tests.doctor.scenes import regions, scenes


def test_healthy_is_0(atonce: Command, tmp_path: Path) -> None:
    done = atonce("doctor", scenes(tmp_path), "--class-weights")
    assert done.code == 0, done.err
    assert re.search(r"train +6 +6", done.out) and "0 errors" in done.out
    snippet = re.search(r"--set 'loss\.class_weights=(\[.*\])'", done.out)
    assert snippet is not None and len(json.loads(snippet[1])) == 10


def test_wrong_is_2_and_names_the_file(atonce: Command, tmp_path: Path) -> None:
    trees.save(scenes(tmp_path) / "train/masks/001.png", np.full((90, 120), 77, np.uint8))
    done = atonce("doctor", tmp_path)
    assert done.code == 2
    assert "train/masks/001.png holds 77" in done.out and "Training would be wrong" in done.out


def test_json_and_page(atonce: Command, tmp_path: Path) -> None:
    root = scenes(tmp_path / "<b>data")
    trees.save(root / "train/masks/001.png", np.where(regions(1) == 9, 77, regions(1)).astype(np.uint8))
    (root / "val/images/000.png").write_bytes((root / "train/images/000.png").read_bytes())
    page = tmp_path / "out" / "page.html"
    done = atonce("doctor", root, "--json", "--out", page)
    assert done.code == 2
    told = json.loads(done.out)
    assert told["training_would_be_wrong"] and told["counts"]["error"] == 2
    assert {len(weights) for weights in told["class_weights"].values()} == {10}
    html = page.read_text("utf-8")
    assert html.count("data:image/jpeg") >= 11 and "<b>data" not in html and "<script" not in html
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    for title in ("Findings", "Classes", "Samples", "Alike in two splits", "Masks to look at", "Class weights"):
        assert f"<h2>{title}</h2>" in html


@pytest.mark.parametrize("root", ["RGB", "sparse"])
def test_fix_classes_makes_it_healthy(atonce: Command, root: str, tmp_path: Path) -> None:
    if root == "RGB":
        trees.folder_rgb(tmp_path, classes=None)
    else:
        trees.folder(tmp_path, values=(0, 50, 100))
    assert atonce("doctor", tmp_path).code == 2
    assert atonce("doctor", tmp_path, "--fix-classes", tmp_path / "classes.yaml").code == 0
    assert atonce("doctor", tmp_path).code == 0


def test_the_classes_file_of_more_masks_than_opening_looks_at(atonce: Command, tmp_path: Path) -> None:
    trees.folder(tmp_path, count=70, values=(0, 50, 100))
    # 64 of 70 are probed, evenly; a value that stands in those left out alone must not be lost.
    for i in range(5, 70, 7):
        trees.save(tmp_path / "masks" / f"street{i}.png", trees.ids(i, (0, 150)))
    assert atonce("doctor", tmp_path, "--fix-classes", tmp_path / "classes.yaml").code == 0
    values = [entry["value"] for entry in yaml.safe_load((tmp_path / "classes.yaml").read_text())["classes"]]
    assert values == [0, 50, 100, 150]


def test_nothing_is_overwritten(atonce: Command, tmp_path: Path) -> None:
    scenes(tmp_path)
    outcome = atonce("doctor", tmp_path, "--fix-classes", tmp_path / "classes.yaml")
    assert "is there already" in outcome.mistake
    assert outcome.err == outcome.mistake + "\n"


def test_a_split_is_written(atonce: Command, tmp_path: Path) -> None:
    root = scenes(tmp_path / "data", train=8, val=2)
    assert atonce("doctor", root, "--write-split", tmp_path / "lists", "--val-fraction", 0.3).code == 0
    lines = {name: (tmp_path / "lists" / f"{name}.txt").read_text().splitlines() for name in ("train", "val")}
    assert {name: len(found) for name, found in lines.items()} == {"train": 7, "val": 3}
    assert all((root / part).is_file() for found in lines.values() for line in found for part in line.split())


def test_a_folder_of_something_else(atonce: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no pictures")
    done = atonce("doctor", tmp_path, "--json")
    assert done.code == 2
    told = json.loads(done.out)
    assert told["format"] is None and told["findings"][0]["kind"] == "layout"
    assert "does not exist" in atonce("doctor", tmp_path / "nowhere").mistake


def test_fix_masks_writes_copies_and_is_0_where_that_was_all(atonce: Command, tmp_path: Path) -> None:
    root = painted_folder(tmp_path / "data")
    done = atonce("doctor", root, "--fix-masks", tmp_path / "out", "--borders", "nearest", "--border-width", 2)
    assert done.code == 0
    assert re.search(
        r"masks    .*out \(8 masks, 8 of them corrected: \d+ pixels to the nearest class\); use them in", done.err
    )
    assert "Training would be wrong:" not in done.out
    verdict = (
        "Training would be wrong with the masks as they were: 1 error, 0 warnings, 0 notes. The copies are mended."
    )
    assert done.out.splitlines()[-1] == verdict
    assert f"classes  {tmp_path / 'out' / 'classes.yaml'} (give them names; it counts once it is " in done.err
    (root / "images" / "0.jpg").write_bytes(b"")
    assert atonce("doctor", root, "--fix-masks", tmp_path / "again").code == 0, "it was not opened, so nobody knows"
    (tmp_path / "again" / "classes.yaml").rename(root / "classes.yaml")
    done = atonce("doctor", root, "--fix-masks", tmp_path / "once more")
    assert done.code == 2 and "0.jpg is empty" in done.out
    assert done.out.splitlines()[-1].startswith("Training would be wrong: ")


def test_fix_masks_says_which_masks_it_could_not_correct(atonce: Command, tmp_path: Path) -> None:
    root = painted_folder(tmp_path / "data")
    assert atonce("doctor", root, "--fix-classes", root / "classes.yaml").code == 0
    mask = np.array(Image.open(root / "masks" / "3.png"))
    mask[30:70, 30:70] = 99
    trees.save(root / "masks" / "3.png", mask)
    done = atonce("doctor", root, "--fix-masks", tmp_path / "out")
    assert done.code == 2 and "7 masks, 7 of them corrected" in done.err
    assert re.search(r"atonce: not corrected: .*3\.png holds \(99, 99, 99\)", done.err)


@pytest.mark.parametrize("classes", [None, "classes: [sky, road, car]\n"])
def test_what_a_refused_training_says_can_be_typed(atonce: Command, tmp_path: Path, classes: str | None) -> None:
    root = trees.folder_rgb(tmp_path / "my data", classes=classes)
    told = atonce("train", root, "--out", tmp_path / "run").mistake
    words = shlex.split(told.rpartition("; atonce ")[2].removesuffix(" writes it"))
    assert words[:2] == ["doctor", str(root)]
    atonce(*words)
    written = yaml.safe_load(Path(words[-1]).read_text())
    colours = {tuple(entry["colour"]) for entry in written["classes"]}
    assert colours == set(trees.COLOURS.values())


def test_quiet_leaves_out_notes_and_keeps_what_was_written(atonce: Command, tmp_path: Path) -> None:
    root = scenes(tmp_path / "data", train=8, val=2)
    loud = atonce("doctor", root)
    assert "note     " in loud.out
    quiet = atonce("doctor", root, "-q", "--write-split", tmp_path / "lists")
    assert "note     " not in quiet.out
    assert quiet.out.splitlines()[-1] == loud.out.splitlines()[-1], "the verdict counts them all the same"
    assert f"split    {tmp_path / 'lists' / 'train.txt'}" in quiet.err


def test_layouts_are_a_line_each(atonce: Command, tmp_path: Path) -> None:
    (tmp_path / "flat" / "photos").mkdir(parents=True)
    told = atonce("doctor", tmp_path / "flat")
    assert told.code == 2
    assert "\\n" not in told.out
    assert [line for line in told.out.splitlines() if line.strip().startswith("kitti-road ")], told.out
