"""Black and white masks that were scaled are background and foreground, and what is left uncertain is a warning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from atonce.data.mask_probe import propose_by_value
from atonce.doctor import examine, write_classes_file
from tests.data import trees

SIZE = (160, 120)


def scaled_masks(root: Path, factor: float, how: Image.Resampling, *, count: int = 12) -> Path:
    """images/ and masks/ of 0 and 255, halved (or more) and enlarged again, saved as grey PNG."""
    rng = np.random.default_rng(0)
    for i in range(count):
        mask = Image.new("L", SIZE)
        for shape in (ImageDraw.Draw(mask).ellipse, ImageDraw.Draw(mask).rectangle) * 2:
            x, y = (int(rng.integers(0, side)) for side in SIZE)
            r = int(rng.integers(8, 16))
            shape((x - r, y - r, x + r, y + r), fill=255)
        small = mask.resize((round(SIZE[0] / factor), round(SIZE[1] / factor)), how)
        trees.save(root / "images" / f"{i}.jpg", trees.picture(i, SIZE))
        trees.save(root / "masks" / f"{i}.png", np.asarray(small.resize(SIZE, how)))
    return root


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("how", ["BILINEAR", "HAMMING", "BICUBIC", "LANCZOS"])
def test_scaled_black_and_white_is_background_and_foreground(how: str, factor: float, tmp_path: Path) -> None:
    scaled_masks(tmp_path, factor, Image.Resampling[how])
    file = tmp_path / "classes.yaml"
    examination = write_classes_file(tmp_path, file)
    classes = yaml.safe_load(file.read_text())["classes"]
    assert [(entry["name"], entry["value"]) for entry in classes] == [("background", 0), ("foreground", 255)]
    assert not examination.wrong
    assert {f.kind for f in examination.findings} & {"soft-values", "soft-classes"} == set()


def test_a_classes_file_of_ramps_is_not_nothing_wrong(tmp_path: Path) -> None:
    scaled_masks(tmp_path, 2, Image.Resampling.BILINEAR)
    entries = "".join(f"  - {{name: class {value}, value: {value}}}\n" for value in (0, 8, 24, 231, 247))
    (tmp_path / "classes.yaml").write_text(f"borders: nearest\nborder_width: 9\nclasses:\n{entries}")
    (found,) = [f for f in examine(tmp_path).findings if f.kind == "soft-classes"]
    assert found.severity == "warning" and found.found.startswith("values 8, 24, 231, 247 of a class hardly fill")


def test_a_forgotten_value_of_soft_masks_is_said(tmp_path: Path) -> None:
    """A rule for borders makes a small class that the file lacks the one beside it."""
    for path in sorted((scaled_masks(tmp_path, 2, Image.Resampling.BILINEAR) / "masks").iterdir()):
        mask = np.array(Image.open(path))
        mask[50:54, 10:90] = 128
        trees.save(path, mask)
    (tmp_path / "classes.yaml").write_text(
        "borders: nearest\nclasses:\n  - {name: a, value: 0}\n  - {name: b, value: 255}\n"
    )
    (found,) = [f for f in examine(tmp_path).findings if f.kind == "soft-values"]
    assert found.severity == "warning" and found.found.startswith("values 128 of no class may be meant")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ((0, 128, 255), "  - {name: class 2, value: 255}"),
        ((0, 1, 2, 255), "  - {name: void, value: 255, void: true}"),
    ],
)
def test_255_never_drops_out(values: tuple[int, ...], line: str) -> None:
    """It is white among grey levels, and void, in so many words, among ids."""
    assert propose_by_value(values).splitlines()[-1] == line
