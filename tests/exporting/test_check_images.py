"""The pictures that an exported file is checked with."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from atonce.data import open_dataset
from atonce.errors import UserError
from atonce.exporting.check_images import CheckImages, cut, find_check_images
from atonce.labels import LabelSpec
from tests.networks import small_model_file
from tests.pictures import blocks


def test_check_images(streets: Path, tmp_path: Path) -> None:
    described = small_model_file()
    labelled = CheckImages.from_dataset(open_dataset(streets), described.labels)
    assert len(labelled.calibration_images) == 4
    checks = list(labelled.checks())
    assert len(checks) == labelled.count == 9
    assert [check.mask is not None for check in checks] == [False] * 6 + [True] * 3
    others = CheckImages.from_dataset(open_dataset(streets), LabelSpec.from_names(("a", "b")))
    assert all(check.mask is None for check in others.checks())
    Image.fromarray(blocks(30, 40)).save(tmp_path / "a.png")
    assert len(list(CheckImages.from_pictures([tmp_path / "a.png"]).checks())) == 7
    assert cut(blocks(30, 40), (97, 31)).shape == (97, 31, 3)


def test_pictures_or_a_data_set_to_check_with(streets: Path, tmp_path: Path) -> None:
    described = small_model_file()
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b"):
        Image.fromarray(blocks(30, 40)).save(folder / f"{name}.png")
    for source, pictures, masks, kind in (
        (None, 4, False, "generated street"),
        (streets, 3, True, "validation picture"),
        (folder, 2, False, "picture"),
        (folder / "a.png", 1, False, "picture"),
    ):
        images = find_check_images(source, described)
        assert images.count == pictures + 6
        checks = list(images.checks())
        assert (checks[-1].mask is not None) == masks
        assert [(check.kind, check.is_cut) for check in checks] == [(kind, True)] * 6 + [(kind, False)] * pictures
    with pytest.raises(UserError):
        find_check_images(folder, described, format="camvid")
