"""Hashes, borders of masks, classes files and splits by themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atonce.data.classes_file import read_classes
from atonce.data.formats import open_dataset
from atonce.doctor import examine, write_classes_file
from atonce.errors import DataError
from tests.data import trees
from tests.doctor.scenes import regions, scenes


class TestClassesFile:
    """What is written can be read, and then means the same."""

    @pytest.mark.parametrize("kind", ["folder", "folder palette", "folder RGB", "folder with splits"])
    def test_of_a_healthy_folder(self, kind: str, tmp_path: Path) -> None:
        trees.HEALTHY[kind][1](tmp_path)
        before = open_dataset(tmp_path)
        text = examine(tmp_path).classes_yaml
        (tmp_path / "classes.csv").unlink(missing_ok=True)
        (tmp_path / "classes.yaml").write_text(text)
        after = open_dataset(tmp_path)
        assert after.labels == before.labels
        for item in before.split("train"):
            one, two = before.load(item).mask, after.load(item).mask
            assert one is not None and two is not None and np.array_equal(one, two)

    def test_of_unknown_values(self, tmp_path: Path) -> None:
        trees.save(scenes(tmp_path) / "train/masks/001.png", np.where(regions(1) == 9, 77, regions(1)).astype("u1"))
        (tmp_path / "new.yaml").write_text(examine(tmp_path).classes_yaml)
        table = read_classes(tmp_path / "new.yaml")
        assert table.labels.names == (*(f"c{i}" for i in range(10)), "unknown 77")
        assert (77, 10) in table.values

    def test_of_unknown_colours(self, tmp_path: Path) -> None:
        trees.folder_rgb(tmp_path)
        mask = trees.colours(trees.ids(0, (0, 1, 2)), {**trees.COLOURS, 2: (9, 8, 7)})
        trees.save(tmp_path / "masks/street1.png", mask)
        (tmp_path / "classes.yaml").write_text(examine(tmp_path).classes_yaml)
        assert open_dataset(tmp_path).labels.palette[-1] == (9, 8, 7) and not examine(tmp_path).wrong

    def test_of_a_layout_with_a_reader_of_its_own(self, tmp_path: Path) -> None:
        assert examine(trees.kitti_road(tmp_path)).classes_yaml == ""
        with pytest.raises(DataError, match="of a layout with classes of its own"):
            write_classes_file(tmp_path, tmp_path / "classes.yaml")

    def test_one_call_writes_it_and_examines_the_folder_with_it(self, tmp_path: Path) -> None:
        trees.folder(tmp_path, values=(0, 50, 100))
        assert examine(str(tmp_path)).wrong
        elsewhere = write_classes_file(tmp_path, tmp_path / "elsewhere.yaml")
        assert elsewhere.wrong and (tmp_path / "elsewhere.yaml").read_text() == elsewhere.classes_yaml
        assert not write_classes_file(str(tmp_path), str(tmp_path / "classes.yaml")).wrong
        with pytest.raises(DataError, match=r"classes\.yaml is there already"):
            write_classes_file(tmp_path, tmp_path / "classes.yaml")
