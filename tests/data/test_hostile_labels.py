"""Labels that a stranger has made: one line that says what is wrong, in bounded time and memory."""

from __future__ import annotations

import base64
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atonce.data import pairing
from atonce.data.annotation_shapes import decode_rle
from atonce.data.checks import check
from atonce.data.classes_file import read_classes
from atonce.data.formats import open_dataset
from atonce.data.pairing import files_below, list_lines, listed_file
from atonce.errors import DataError
from atonce.polygons import Polygon, fill_polygons
from tests.data import annotation_trees as tools
from tests.systems import needs_links, needs_pipes

Change = Callable[[Any], object]


def _told(root: Path) -> str:
    """What opening and checking a data set say: of the first thing that is wrong."""
    try:
        dataset = open_dataset(root)
        errors = [p for p in check(dataset, ("train", "val", "test")).problems if p.severity == "error"]
    except DataError as error:
        return str(error)
    return errors[0].line(root) if errors else "nothing"


def _with(root: Path, pattern: str, change: Change) -> Path:
    path = next(root.rglob(pattern))
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_text(json.dumps(data), "utf-8")
    return root


def _set(*keys: str | int, value: object) -> Change:
    def change(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


COCO: dict[str, tuple[Change, str]] = {
    "a category of infinity": (_set("categories", 0, "id", value=float("inf")), "is no COCO file (OverflowError"),
    "a list for a category": (_set("annotations", 0, "category_id", value=[1]), "is no COCO file (TypeError"),
    "one polygon in the place of polygons": (
        _set("annotations", 1, "segmentation", value=[0, 0, 9, 0, 9, 9]),
        "has 1 segmentation of cam front/frame.0000.jpg in a form that is not known; expected lists of polygons",
    ),
    "a file name that no file can have": (_set("images", 0, "file_name", value="x" * 5000 + ".jpg"), "does not exist"),
    "a file name of two slashes": (_set("images", 0, "file_name", value="//x.jpg"), "does not exist"),
    "run lengths whose sum wraps": (
        _set("annotations", 0, "segmentation", "counts", value=[2**62, 2**62, 2**62, 2**62 + 40 * 30]),
        "cannot be read (run lengths of",
    ),
    "a run length of a million digits": (
        _set("annotations", 0, "segmentation", "counts", value="o" * 1_000_000),
        "a run length of more digits than a picture has pixels",
    ),
    "a corner at the end of the world": (
        _set("annotations", 1, "segmentation", value=[[-1e30, 0, 1e30, 1e30, 3, -1e308]]),
        "a coordinate that is no number, or far outside",
    ),
}


@pytest.mark.parametrize(("change", "message"), COCO.values(), ids=COCO)
def test_coco(tmp_path: Path, change: Change, message: str) -> None:
    assert message in _told(_with(tools.cvat_coco(tmp_path), "instances*.json", change))


def test_a_number_that_python_does_not_read(tmp_path: Path) -> None:
    path = next(tools.cvat_coco(tmp_path).rglob("instances*.json"))
    path.write_text(path.read_text().replace("36.0", "1" * 5000, 1))
    assert "cannot be read (Exceeds the limit" in _told(tmp_path)


def test_true_is_no_side_of_a_picture(tmp_path: Path) -> None:
    change = _set("images", 0, "height", value=True)
    assert _told(_with(tools.cvat_coco(tmp_path), "instances*.json", change)) == "nothing"


LABELME: dict[str, tuple[dict[str, Any], str]] = {
    "a number too large for a float": ({"points": [[10**400, 0], [1, 1], [2, 2]]}, "cannot be understood (Overflow"),
    "a circle that is too large": ({"points": [[1e200, 0], [0, 0]], "shape_type": "circle"}, "(OverflowError"),
    "a mask at infinity": (
        {"points": [[float("inf"), 0], [1, 1]], "shape_type": "mask", "mask": ""},
        "cannot be understood (OverflowError",
    ),
}


@pytest.mark.parametrize(("shape", "message"), LABELME.values(), ids=LABELME)
def test_labelme(tmp_path: Path, shape: dict[str, Any], message: str) -> None:
    change = _set("shapes", 0, value={"label": "a", "shape_type": "polygon", **shape})
    assert message in _told(_with(tools.labelme(tmp_path), "street 1.json", change))


def _announcing(width: int, height: int) -> str:
    """A PNG that is its header, in base64."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return base64.b64encode(png + b"\0\0\0\0IDAT\x35\xaf\x06\x1e").decode()


def test_a_mask_of_a_thousand_million_pixels_is_known_by_its_header(tmp_path: Path) -> None:
    mask = {"label": "a", "points": [[0, 0], [1, 1]], "shape_type": "mask", "mask": _announcing(30_000, 30_000)}
    told = _told(_with(tools.labelme(tmp_path), "street 1.json", _set("shapes", 0, value=mask)))
    assert "a mask of 30000x30000 for" in told


def test_a_number_is_no_brush(tmp_path: Path) -> None:
    """`bytes(6 * 10**9)` would be 6 GB of zeros."""
    region = tools.label_studio_region("brush", "a", rle=6 * 10**9)
    change = _set(0, "annotations", 0, "result", value=[region])
    told = _told(_with(tools.label_studio_json(tmp_path), "*.json", change))
    assert "1 region that cannot be read (a code that is no list of bytes)" in told


def test_zigzag_all_over_the_picture_takes_no_memory() -> None:
    rows = 20_000
    zigzag = np.tile([[0.0, 0.0], [4.0, rows]], (5000, 1))
    with pytest.raises(ValueError, match="crosses the picture again and again"):
        fill_polygons([Polygon(zigzag)], rows, 4)


def test_an_outline_round_every_second_pixel_is_filled() -> None:
    """The finest comb that a mask can be: it crosses each row as often as the picture is wide."""
    width, height = 400, 500
    comb = [(0.0, 0.0)]
    for x in range(0, width, 2):
        comb += [(x, height), (x + 1, height), (x + 1, 1), (x + 2, 1)]
    mask = fill_polygons([Polygon(np.array([*comb, (width, 0)]))], height, width)
    assert mask[0].all() and (mask[1:, ::2]).all() and not mask[1:, 1::2].any()


def test_run_lengths_that_wrap_are_refused_before_they_are_repeated() -> None:
    with pytest.raises(ValueError, match="run lengths of"):
        decode_rle({"size": [2, 2], "counts": [2**62, 2**62, 2**62, 2**62 + 4]})


DATA_YAML: dict[str, tuple[str, str]] = {
    "an index of infinity": ("names: {.inf: a, 1: b}\ntrain: images/train\n", "cannot convert float infinity"),
    "a list without an end": ("names: {0: a, 1: b}\ntrain: /dev/zero\n", "/dev/zero is no ordinary file"),
    "a folder that cannot be": (f"names: {{0: a, 1: b}}\ntrain: {'x' * 3000}\n", "does not exist, but data.yaml"),
    "a base that cannot be": (
        f"names: {{0: a, 1: b}}\npath: {'x' * 3000}\ntrain: nowhere\n",
        "nowhere does not exist, but",
    ),
    "a path of thousands of folders": (f"names: {{0: a}}\ntrain: {'x/' * 20_000}\n", "does not exist, but data.yaml"),
}


@pytest.mark.parametrize(("text", "message"), DATA_YAML.values(), ids=DATA_YAML)
def test_data_yaml(tmp_path: Path, text: str, message: str) -> None:
    root = tools.yolo(tmp_path)
    (root / "data.yaml").write_text(text)
    assert message in _told(root)


def test_long_lines_of_lists_take_no_long_time(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("x " * 500_000 + "\n" + "a.png " * 100_000)
    first, second = list_lines(tmp_path / "list.txt")
    assert len(first.names) == 500_000 and set(second.names) == {"a.png"} and len(second.names) == 100_000
    assert listed_file(tmp_path, "x/" * 100_000 + "a.png") == tmp_path / "x" / "a.png"


CLASSES: dict[str, tuple[str, str, str]] = {
    "a field too large": ("classes.csv", f"name,r,g,b\n{'x' * 200_000},1,2,3\n", "is no CSV (field larger"),
    "spaces in a colour line": ("label_colors.txt", f"1 2 3 road\na{' ' * 200_000}b\n", "line 2 is 'a"),
    "a hexadecimal number": ("classes.yaml", f"- {{name: a, value: 0x{'f' * 9000}}}\n", "a whole number of 36000 bits"),
    "a number by sixties": ("classes.yaml", f"- {{name: a, value: {':'.join(['59'] * 5000)}}}\n", "a whole number of"),
}


@pytest.mark.parametrize(("name", "text", "message"), CLASSES.values(), ids=CLASSES)
def test_classes_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        read_classes(tmp_path / name)
    assert message in str(caught.value)


@needs_pipes
def test_a_pipe_among_annotations_is_none_of_them(tmp_path: Path) -> None:
    root = tools.cvat_coco(tmp_path)
    os.mkfifo(root / "annotations" / "pipe.json")
    assert _told(root) == "nothing"


@needs_links
def test_links_to_each_other_end(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").write_bytes(b"")
        for i in range(3):
            (tmp_path / name / f"{i}").symlink_to(Path("..") / other)
    found = [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)]
    assert found == ["a/a.png", "a/0/b.png", "a/1/b.png", "a/2/b.png", "b/b.png", "b/0/a.png", "b/1/a.png", "b/2/a.png"]


@needs_links
def test_links_that_multiply_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "_MOST_LINKS", 500)
    for i in range(30):
        (tmp_path / f"all/{i}").mkdir(parents=True)
        for name in "ab":
            (tmp_path / f"all/{i}" / name).symlink_to(tmp_path / "all" / str(i + 1))
    with pytest.raises(DataError, match="leads to more than 500 folders by links"):
        list(files_below(tmp_path / "all" / "0"))
