"""The folder of generated streets: written once, never over somebody else's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from atonce.errors import DataError, StorageError
from atonce.labels import CAMVID
from atonce.streets import render_scene, write_streets
from atonce.streets.write_streets import MARKER
from tests.systems import needs_links

SMALL = (60, 80)


def write(root: Path, train: int = 3, seed: int = 0) -> Path:
    return write_streets(root, train=train, val=2, seed=seed, size=SMALL)


def pictures(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.png"))}


def test_the_folder(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    root = write_streets(
        tmp_path / "s", train=2, val=1, size=SMALL, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert list(pictures(root)) == [
        f"{split}/{kind}/street_{seed}.png"
        for split, seeds in (("train", ("000000", "000001")), ("val", ("500000",)))
        for kind in ("images", "masks")
        for seed in seeds
    ]
    classes = yaml.safe_load((root / "classes.yaml").read_text())
    assert classes["ignore_index"] == 255
    assert classes["classes"][0] == {"name": "Sky", "colour": [128, 128, 128]}
    assert [c["name"] for c in classes["classes"]] == list(CAMVID.names)
    assert json.loads((root / "streets.json").read_text())["train"] == 2
    expected = render_scene(1, SMALL)
    assert expected.mask is not None
    with Image.open(root / "train/masks/street_000001.png") as mask:
        assert mask.mode == "P" and np.array_equal(np.asarray(mask), expected.mask)
        assert (mask.getpalette() or [])[:33] == [v for colour in CAMVID.palette for v in colour]
    with Image.open(root / "train/images/street_000001.png") as image:
        assert np.array_equal(np.asarray(image), expected.image)


def test_a_complete_folder_is_left_alone_and_an_incomplete_one_completed(tmp_path: Path) -> None:
    root = write(tmp_path)
    touched = root / "train/images/street_000000.png"
    touched.write_bytes(b"mine")
    write(root)
    assert touched.read_bytes() == b"mine"
    (root / "classes.yaml").unlink()
    (root / "streets.json").unlink()
    write(root)
    assert touched.read_bytes() != b"mine"


def test_other_parameters_replace_the_scenes(tmp_path: Path) -> None:
    root = write(tmp_path)
    before = pictures(root)
    after = pictures(write(root, seed=1, train=1))
    assert len(after) == 6 and not before.keys() & after.keys()


def test_train_and_val_share_no_scene(tmp_path: Path) -> None:
    everything = pictures(write(tmp_path))
    images = [data for name, data in everything.items() if "/images/" in name]
    assert len(images) == len(set(images)) == 5
    names = {split: {Path(n).name for n in everything if n.startswith(split)} for split in ("train", "val")}
    assert not names["train"] & names["val"]


def test_processes_do_not_change_the_scenes(tmp_path: Path) -> None:
    alone = write_streets(tmp_path / "a", train=2, val=1, size=SMALL)
    together = write_streets(tmp_path / "b", train=2, val=1, size=SMALL, workers=2)
    assert pictures(alone) == pictures(together)


def test_a_foreign_data_set_is_not_overwritten(tmp_path: Path) -> None:
    foreign = tmp_path / "train" / "images" / "holiday.png"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"")
    with pytest.raises(DataError, match=r"holiday\.png"):
        write(tmp_path)
    foreign.unlink()
    (tmp_path / "classes.yaml").write_text("classes: []")
    with pytest.raises(DataError, match=r"classes\.yaml"):
        write(tmp_path)


def test_what_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("in the way")
    with pytest.raises(StorageError):
        write(tmp_path)


def test_impossible_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scenes a split"):
        write(tmp_path, train=-1)


@needs_links
def test_streets_are_not_written_through_links(tmp_path: Path) -> None:
    root, mine = write(tmp_path / "streets"), tmp_path / "mine"
    mine.write_text("mine")
    for name in ("classes.yaml", "train/images/street_000000.png", MARKER):
        (root / name).unlink()
        (root / name).symlink_to(mine)
    write(root)
    assert mine.read_text() == "mine"
    shutil.rmtree(root / "val" / "images")
    (tmp_path / "elsewhere").mkdir()
    (root / "val" / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"images is a link; .*remove it"):
        write(root, seed=1)
    assert not list((tmp_path / "elsewhere").iterdir())
