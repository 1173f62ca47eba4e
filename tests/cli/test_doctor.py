"""atonce doctor, as it is called."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.cli import main
from tests.data import trees
from tests.data.painted import painted_folder
from tests.doctor.test_doctor import regions, scenes


def doctor(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of `atonce doctor ...`."""
    monkeypatch.setattr("sys.argv", ["atonce", "doctor", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit:
        main()
    return int(exit.value.code or 0)


def test_healthy_is_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(monkeypatch, scenes(tmp_path), "--class-weights") == 0
    told = capsys.readouterr().out
    assert re.search(r"train +6 +6", told) and "0 errors" in told
    snippet = re.search(r"--set 'loss\.class_weights=(\[.*\])'", told)
    assert snippet is not None and len(json.loads(snippet[1])) == 10


def test_wrong_is_2_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trees.save(scenes(tmp_path) / "train/masks/001.png", np.full((90, 120), 77, np.uint8))
    assert doctor(monkeypatch, tmp_path) == 2
    told = capsys.readouterr().out
    assert "train/masks/001.png holds 77" in told and "Training would be wrong" in told


def test_json_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    root = scenes(tmp_path / "<b>data")
    trees.save(root / "train/masks/001.png", np.where(regions(1) == 9, 77, regions(1)).astype(np.uint8))
    (root / "val/images/000.png").write_bytes((root / "train/images/000.png").read_bytes())
    page = tmp_path / "out" / "page.html"
    assert doctor(monkeypatch, root, "--json", "--out", page) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["training_would_be_wrong"] and told["counts"]["error"] == 2
    assert {len(weights) for weights in told["class_weights"].values()} == {10}
    html = page.read_text("utf-8")
    assert html.count("data:image/jpeg") >= 11 and "<b>data" not in html and "<script" not in html
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    for title in ("Findings", "Classes", "Samples", "Alike in two splits", "Masks to look at", "Class weights"):
        assert f"<h2>{title}</h2>" in html


@pytest.mark.parametrize("root", ["RGB", "sparse"])
def test_fix_classes_makes_it_healthy(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if root == "RGB":
        trees.folder_rgb(tmp_path, classes=None)
    else:
        trees.folder(tmp_path, values=(0, 50, 100))
    assert doctor(monkeypatch, tmp_path) == 2
    assert doctor(monkeypatch, tmp_path, "--fix-classes", tmp_path / "classes.yaml") == 0
    assert doctor(monkeypatch, tmp_path) == 0


def test_the_classes_file_of_more_masks_than_opening_looks_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.folder(tmp_path, count=70, values=(0, 50, 100))
    # 64 of 70 are probed, evenly: the second of these is not among them, or it is; either way nothing is lost.
    for i in range(5, 70, 7):
        trees.save(tmp_path / "masks" / f"street{i}.png", trees.ids(i, (0, 150)))
    assert doctor(monkeypatch, tmp_path, "--fix-classes", tmp_path / "classes.yaml") == 0


def test_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes(tmp_path)
    assert doctor(monkeypatch, tmp_path, "--fix-classes", tmp_path / "classes.yaml") == 2
    error = capsys.readouterr().err
    assert error.startswith("atonce: ") and "is there already" in error and error.count("\n") == 1


def test_a_split_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = scenes(tmp_path / "data", train=8, val=2)
    assert doctor(monkeypatch, root, "--write-split", tmp_path / "lists", "--val-fraction", 0.3) == 0
    lines = {name: (tmp_path / "lists" / f"{name}.txt").read_text().splitlines() for name in ("train", "val")}
    assert {name: len(found) for name, found in lines.items()} == {"train": 7, "val": 3}
    assert all((root / part).is_file() for found in lines.values() for line in found for part in line.split())


def test_a_folder_of_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no pictures")
    assert doctor(monkeypatch, tmp_path, "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert told["format"] is None and told["findings"][0]["kind"] == "layout"
    assert doctor(monkeypatch, tmp_path / "nowhere") == 2
    assert "does not exist" in capsys.readouterr().err


def test_fix_masks_writes_copies_and_is_0_where_that_was_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = painted_folder(tmp_path / "data")
    assert doctor(monkeypatch, root, "--fix-masks", tmp_path / "out", "--borders", "nearest", "--border-width", 2) == 0
    told = capsys.readouterr().err
    assert re.search(
        r"masks    .*out \(8 masks, 8 of them corrected: \d+ pixels to the nearest class\); use them in", told
    )
    assert f"classes  {tmp_path / 'out' / 'classes.yaml'} (give them names; it counts as " in told
    (root / "images" / "0.jpg").write_bytes(b"")
    assert doctor(monkeypatch, root, "--fix-masks", tmp_path / "again") == 0, "it could not be opened, so nobody knows"
    (tmp_path / "again" / "classes.yaml").rename(root / "classes.yaml")
    assert doctor(monkeypatch, root, "--fix-masks", tmp_path / "once more") == 2
    assert "0.jpg is empty" in capsys.readouterr().out


def test_fix_masks_says_which_masks_it_could_not_correct(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = painted_folder(tmp_path / "data")
    assert doctor(monkeypatch, root, "--fix-classes", root / "classes.yaml") == 0
    mask = np.array(Image.open(root / "masks" / "3.png"))
    mask[30:70, 30:70] = 99
    trees.save(root / "masks" / "3.png", mask)
    assert doctor(monkeypatch, root, "--fix-masks", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert "7 masks, 7 of them corrected" in told and re.search(
        r"atonce: not corrected: .*3\.png holds \(99, 99, 99\)", told
    )
