"""The fingerprint of a data set follows its content, not the folder it lies in."""

from __future__ import annotations

from pathlib import Path

from atonce.data.checks import fingerprint
from atonce.data.formats import open_dataset
from tests.data import trees


class TestFingerprint:
    def test_place_does_not_matter(self, tmp_path: Path) -> None:
        one, two = (open_dataset(trees.camvid(tmp_path / name)) for name in ("a", "b"))
        assert fingerprint(one) == fingerprint(two) and len(fingerprint(one)) == 64

    def test_content_matters(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.camvid(tmp_path))
        before = fingerprint(dataset)
        trees.save(tmp_path / "trainannot" / "train_00000.png", trees.ids(99, range(12)))
        assert fingerprint(open_dataset(tmp_path)) != before

    def test_split_matters(self, tmp_path: Path) -> None:
        trees.folder(tmp_path, count=10)
        assert fingerprint(open_dataset(tmp_path, seed=0)) != fingerprint(open_dataset(tmp_path, seed=1))

    def test_ground_truth_matters(self, tmp_path: Path) -> None:
        trees.kitti_road(tmp_path, umm=0, uu=0)
        road, lane = (open_dataset(tmp_path, ground_truth=kind) for kind in ("road", "lane"))
        assert fingerprint(road) != fingerprint(lane)

    def test_a_file_that_went_away(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.camvid(tmp_path))
        before = fingerprint(dataset)
        (tmp_path / "val" / "val_00000.png").unlink()
        assert fingerprint(dataset) != before
