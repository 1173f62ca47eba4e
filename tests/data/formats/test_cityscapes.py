"""Cityscapes: label ids become train ids, names and groups come from the files' names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from atonce.data.formats import cityscapes, open_dataset
from tests.data import trees


class TestCityscapes:
    def test_label_ids_become_train_ids(self, tmp_path: Path) -> None:
        """Against the published table: 7 road, 8 sidewalk, 11 building, ... 33 bicycle."""
        label_ids = np.arange(34, dtype=np.uint8)[None]
        path = trees.save(tmp_path / "a_gtFine_labelIds.png", label_ids)
        expected = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10}
        expected |= {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
        assert cityscapes.read_mask(path)[0].tolist() == [expected.get(i, 255) for i in range(34)]

    def test_train_ids_are_preferred_and_stay(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.cityscapes_tree(tmp_path, train_ids=True))
        item = dataset.split("train")[0]
        assert item.mask_file is not None and item.mask_file.name == "aachen_000000_000019_gtFine_labelTrainIds.png"
        assert np.array_equal(dataset.read_mask(item.mask), np.asarray(Image.open(item.mask_file)))

    def test_names_and_groups(self, tmp_path: Path) -> None:
        dataset = open_dataset(trees.cityscapes_tree(tmp_path))
        assert [(i.name, i.group) for i in dataset.split("val")] == [
            ("lindau_000000_000019", "lindau"),
            ("lindau_000001_000019", "lindau"),
        ]
        assert dataset.labels.num_classes == 19 and dataset.labels.names[18] == "bicycle"
