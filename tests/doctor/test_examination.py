"""The doctor finds nothing wrong in healthy trees, and names in broken ones what is wrong, and where."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.data.class_weights import class_weights
from atonce.doctor import Examination, Finding, examine
from atonce.errors import DataError
from atonce.recipes.schema import LossConfig
from tests.data import trees
from tests.data.broken import Break
from tests.data.conftest import Tree
from tests.data.formats.broken_benchmarks import CASES as BENCHMARKS
from tests.data.formats.broken_folders import CASES as FOLDERS
from tests.doctor.scenes import BIG, regions, scenes, smooth


def test_a_healthy_tree_has_no_error(healthy: Tree) -> None:
    examination = examine(healthy.root)
    assert examination.count("error") == 0 and not examination.wrong
    # The trees reuse the noise of their pictures, and those of tools a mask; nothing else may be said against them.
    warnings = {f.kind for f in examination.findings if f.severity == "warning"}
    assert warnings - {"same-mask" if healthy.reuses_masks else ""} <= {
        "duplicates",
        "duplicates-across",
        "few-pictures",
    }
    assert sum(s.pictures for s in examination.statistics.values()) == healthy.pictures
    json.dumps(examination.to_json(), allow_nan=False)


def _text(examination: Examination) -> str:
    """All errors, as a reader of Python and one of the command line see them."""
    return "\n".join(
        " ".join((f.found, f.remedy, *f.for_command_line(), *(f"{file.path} {file.about}" for file in f.files)))
        for f in examination.findings
        if f.severity == "error"
    )


@pytest.mark.parametrize("name", [*FOLDERS, *BENCHMARKS])
def test_what_training_refuses_is_an_error(tmp_path: Path, name: str) -> None:
    build, breaks, patterns = {**FOLDERS, **BENCHMARKS}[name]
    breaks(build(tmp_path))
    examination = examine(tmp_path)
    assert examination.wrong
    text = _text(examination)
    for pattern in patterns:
        if not pattern.startswith("write "):
            assert re.search(pattern, text), f"{pattern!r} is not in: {text}"


def _masks(root: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in sorted((root / "train" / "masks").iterdir())[:2]:
        trees.save(path, change(np.asarray(Image.open(path))))


def _scaled(mask: np.ndarray) -> np.ndarray:
    small = Image.fromarray(mask).resize((50, 40), Image.Resampling.NEAREST)
    return np.asarray(small.resize(BIG, Image.Resampling.BILINEAR))


def _through_jpeg(mask: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(mask * 20).save(stream, "JPEG", quality=60)
    return np.clip(np.asarray(Image.open(stream)).astype(int) // 20, 0, 9).astype(np.uint8)


def _copy(root: Path, source: str, *targets: str) -> None:
    for target in targets:
        shutil.copy(root / source, root / target)


def _half(root: Path, source: str, target: str) -> None:
    image = Image.open(root / source)
    image.resize((60, 45)).resize(image.size).save(root / target)


FULL = (BIG[1], BIG[0])

MORE: dict[str, tuple[Break, str, str, tuple[str, ...]]] = {
    "a value of no class": (
        lambda root: trees.save(root / "train/masks/001.png", np.where(regions(1) == 9, 77, regions(1)).astype("u1")),
        "error",
        "unknown-values",
        ("train/masks/001.png",),
    ),
    "interpolated, all values known": (
        lambda root: _masks(root, _scaled),
        "warning",
        "interpolated",
        ("train/masks/000.png", "train/masks/001.png"),
    ),
    "the same picture in two splits": (
        lambda root: _copy(root, "train/images/004.png", "val/images/001.png"),
        "warning",
        "duplicates-across",
        ("val/images/001.png",),
    ),
    "the same picture twice in a split, with two masks": (
        lambda root: _copy(root, "train/images/004.png", "train/images/005.png"),
        "warning",
        "contradiction",
        ("train/masks/005.png",),
    ),
    "nearly the same picture in two splits": (
        lambda root: _half(root, "train/images/002.png", "val/images/000.png"),
        "warning",
        "near-duplicates-across",
        ("val/images/000.png",),
    ),
    "one mask for several pictures": (
        lambda root: _copy(root, "train/masks/000.png", "train/masks/001.png", "train/masks/002.png"),
        "warning",
        "same-mask",
        ("train/masks/001.png", "train/masks/002.png"),
    ),
    "a black picture": (
        lambda root: trees.save(root / "val/images/002.png", np.full((*FULL, 3), 3, np.uint8)),
        "warning",
        "blank",
        ("val/images/002.png",),
    ),
    "12 bits saved as 16": (
        lambda root: trees.save(root / "train/images/000.png", smooth(0)[..., 0].astype(np.uint16) * 16),
        "warning",
        "blank",
        ("train/images/000.png",),
    ),
    "grey among colour": (
        lambda root: trees.save(root / "train/images/003.png", smooth(3)[..., 0]),
        "note",
        "modes",
        ("train/images/003.png",),
    ),
    "no validation split": (
        lambda root: [p.unlink() for p in (root / "val").rglob("*.png")],
        "error",
        "split",
        (),
    ),
    "one class only": (
        lambda root: [trees.save(p, np.zeros(FULL, np.uint8)) for p in (root / "train/masks").iterdir()],
        "error",
        "one-class",
        (".",),
    ),
    "mostly void": (
        lambda root: [
            trees.save(p, np.where(regions(0) < 9, 255, regions(0)).astype("u1"))
            for p in (root / "train/masks").iterdir()
        ],
        "warning",
        "void-share",
        (),
    ),
    "a class that training never shows": (
        lambda root: trees.save(root / "val/masks/000.png", np.where(regions(1) == 9, 5, regions(1)).astype("u1")),
        "warning",
        "absent-class",
        (),
    ),
}


@pytest.mark.parametrize("name", MORE)
def test_what_only_the_doctor_sees(tmp_path: Path, name: str) -> None:
    breaks, severity, kind, files = MORE[name]
    breaks(scenes(tmp_path))
    finding = _finding(examine(tmp_path), kind)
    assert finding.severity == severity
    assert tuple(sorted(file.path.relative_to(tmp_path).as_posix() for file in finding.files)) == files


def _finding(examination: Examination, kind: str) -> Finding:
    found = [finding for finding in examination.findings if finding.kind == kind]
    assert len(found) == 1, [(f.kind, f.found) for f in examination.findings]
    return found[0]


def test_scenes_are_healthy(tmp_path: Path) -> None:
    kinds = {f.kind for f in examine(scenes(tmp_path)).findings}
    assert kinds == {"empty-class", "about"}  # six of the ten names are never used


def test_jpeg_noise_among_known_values(tmp_path: Path) -> None:
    _masks(scenes(tmp_path), _through_jpeg)
    kinds = {f.kind for f in examine(tmp_path).findings}
    assert kinds & {"compressed", "interpolated"}


def test_interpolated_masks_are_not_to_be_named(tmp_path: Path) -> None:
    _masks(scenes(tmp_path), lambda mask: _scaled(mask * 20))
    examination = examine(tmp_path)
    values = _finding(examination, "values")
    # The regions have values of no class, too: those, and no others, may be meant.
    assert "come of interpolation" in values.remedy and values.count == 2
    assert re.findall("name: unknown [0-9]+", examination.classes_yaml) == [
        f"name: unknown {value}" for value in sorted((60, 120, 180), key=lambda v: -_pixels(tmp_path, v))
    ]
    assert "borders: nearest" in examination.classes_yaml


def _pixels(root: Path, value: int) -> int:
    """Pixels of a value in the masks that hold values above 9."""
    masks = (np.asarray(Image.open(path)) for path in sorted((root / "train" / "masks").iterdir())[:2])
    return sum(int((mask == value).sum()) for mask in masks)


def test_colours_turned_to_grey_are_recognised(tmp_path: Path) -> None:
    trees.folder_rgb(tmp_path)
    (tmp_path / "masks" / "street2.png").unlink()
    grey = Image.fromarray(trees.colours(trees.ids(2, (0, 1, 2)), trees.COLOURS)).convert("L")
    grey.save(tmp_path / "masks" / "street2.png")
    assert "turned to grey" in _finding(examine(tmp_path), "values").remedy


def test_the_pictures_of_test_are_read_too(tmp_path: Path) -> None:
    trees.kitti_road(tmp_path)
    path = tmp_path / "testing/image_2/umm_000001.png"
    path.write_bytes(path.read_bytes()[:200])
    finding = _finding(examine(tmp_path), "unreadable")
    assert [file.path for file in finding.files] == [path]


def test_no_such_folder_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        examine(tmp_path / "nowhere")


def test_options_are_named_in_the_language_of_the_reader(tmp_path: Path) -> None:
    trees.folder_rgb(tmp_path, classes=None)
    finding = _finding(examine(tmp_path), "classes")
    target = tmp_path / "classes.yaml"
    assert finding.remedy.endswith(f"`; atonce.doctor.write_classes_file(..., '{target}') writes it")
    typed = f"`; atonce doctor {tmp_path} --fix-classes {target} writes it"
    assert finding.for_command_line()[1].endswith(typed)
    assert finding.to_json(tmp_path)["remedy"].endswith(typed)
    (tmp_path / "images").rename(tmp_path / "pictures")
    finding = _finding(examine(tmp_path, "camvid"), "layout")
    assert "format='camvid'" in finding.found and "--format camvid" in finding.for_command_line()[0]


def test_class_weights_are_those_of_training(tmp_path: Path) -> None:
    examination = examine(scenes(tmp_path))
    train = examination.statistics["train"]
    weights = examination.class_weights()
    assert list(weights) == ["median-frequency", "sqrt-median-frequency"]
    for rule, rounded in weights.items():
        config = LossConfig.model_validate({"class_weights": rule})
        exact = class_weights(config, train.pixel_count, train.pixels_of_pictures_with_class)
        assert exact is not None and rounded == pytest.approx(exact.tolist(), rel=1e-3)
    assert examine(tmp_path / "val").class_weights() != weights


def test_json_keys_stay(tmp_path: Path) -> None:
    told = examine(scenes(tmp_path)).to_json()
    assert list(told) == [
        "data", "format", "training_would_be_wrong", "counts", "findings", "classes", "splits", "classes_yaml",
        "seconds", "class_weights",
    ]  # fmt: skip
    assert list(told["findings"][0]) == ["severity", "kind", "found", "remedy", "count", "files"]
    assert list(told["splits"]["train"]) == [
        "pictures", "masks", "void_share", "sizes", "picture_modes", "mask_modes", "classes",
    ]  # fmt: skip


def test_camvid_is_healthy(real_data: Path) -> None:
    examination = examine(real_data / "data" / "camvid")
    assert {(f.severity, f.kind) for f in examination.findings} == {("note", "near-duplicates")}


def test_kitti_road_is_healthy(real_data: Path) -> None:
    examination = examine(real_data / "data" / "kitti_road_sample")
    assert {(f.severity, f.kind) for f in examination.findings} == {
        ("warning", "few-pictures"),
        ("note", "about"),
        ("note", "kitti-road"),
        ("note", "calibration"),
    }
