"""supervision, FiftyOne, labelme and datumaro, which is what CVAT imports and exports with, read our results: the lines
of docs/results.md, run where these are installed.

None of them is a dependency of the tests: `pip install supervision fiftyone labelme datumaro` beside them.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from atonce.inference.cvat_masks import draw_masks, write_archive
from tests.inference.test_result import SPEC, result_of, scene

PAGE = Path(__file__).parents[2] / "docs" / "results.md"

pytestmark = pytest.mark.filterwarnings("ignore")


def run_lines_about(package: str, **given: Any) -> dict[str, Any]:
    """Run the block of Python on the page that imports a package; return its variables."""
    pytest.importorskip(package)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if f"import {package}" in block or f", {package} as" in block]
    assert len(block.splitlines()) <= 4, "three lines and an import"
    exec(block, given)
    return given


def test_supervision_takes_our_regions() -> None:
    found = run_lines_about("supervision", result=result_of(scene()))["detections"]
    labels = np.zeros_like(scene())
    for mask, class_id in zip(found.mask, found.class_id, strict=True):
        labels[mask] = class_id
    np.testing.assert_array_equal(labels, scene())


@pytest.mark.parametrize("compressed", [True, False])
def test_supervision_reads_our_coco_files(tmp_path: Path, compressed: bool) -> None:
    supervision = pytest.importorskip("supervision")
    result = result_of(scene(), source="street.png")
    (tmp_path / "new").mkdir()
    Image.fromarray(result.image).save(tmp_path / "new" / "street.png")
    (tmp_path / "coco.json").write_text(json.dumps(result.to_coco(compressed=compressed)))
    data = supervision.DetectionDataset.from_coco(tmp_path / "new", tmp_path / "coco.json", force_masks=True)
    ((_, _, found),) = list(data)
    labels = np.zeros_like(scene())
    for mask, class_id in zip(found.mask, found.class_id, strict=True):
        labels[mask] = SPEC.names.index(data.classes[class_id])
    np.testing.assert_array_equal(labels, scene())


def test_fiftyone_takes_our_labels(tmp_path: Path) -> None:
    dataset = SimpleNamespace()
    given = run_lines_about("fiftyone", result=result_of(scene()), dataset=dataset)
    np.testing.assert_array_equal(given["sample"]["prediction"].mask, scene())
    assert dataset.default_mask_targets == {0: "background", 1: "road", 2: "car"}


def test_fiftyone_reads_our_coco_files(tmp_path: Path) -> None:
    coco = pytest.importorskip("fiftyone.utils.coco")
    (tmp_path / "coco.json").write_text(json.dumps(result_of(scene()).to_coco(compressed=False)))
    _, classes, _, _, annotations = coco.load_coco_detection_annotations(str(tmp_path / "coco.json"))[:5]
    labels = np.zeros_like(scene())
    for one in next(iter(annotations.values())):
        found = one.to_detection((80, 60), classes, load_segmentation=True)
        x, y = (round(value) for value in np.array(found.bounding_box[:2]) * (80, 60))
        height, width = found.mask.shape
        labels[y : y + height, x : x + width][found.mask.astype(bool)] = SPEC.names.index(found.label)
    np.testing.assert_array_equal(labels, scene())


def test_labelme_reads_our_files_and_keeps_our_mark(tmp_path: Path) -> None:
    files = pytest.importorskip("labelme._label_file")
    result = result_of(scene(), source="street.png")
    Image.fromarray(result.image).save(tmp_path / "street.png")
    path = tmp_path / "street.json"
    path.write_text(json.dumps({**result.to_labelme(), "atonce": {"shapes": "digest"}}))
    read = files.read_label_file(str(path))
    assert sorted(shape["label"] for shape in read.shapes) == ["car", "car", "road", "road"]
    assert (read.image_path, read.other_data) == ("street.png", {"atonce": {"shapes": "digest"}})


def test_datumaro_reads_our_cvat_masks_as_objects_of_their_classes(tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    write_archive(tmp_path / "cvat.zip", SPEC, {"cam front/a.0001.png": draw_masks(result_of(scene()))})
    with zipfile.ZipFile(tmp_path / "cvat.zip") as archive:
        archive.extractall(tmp_path / "task")
    dataset = datumaro.Dataset.import_from(str(tmp_path / "task"), "voc_instance_segmentation")
    (item,) = dataset
    assert item.id == "cam front/a.0001"
    names = [label.name for label in dataset.categories()[datumaro.AnnotationType.label].items]
    labels = np.zeros_like(scene())
    for one in item.annotations:
        assert names[one.label] != "background"
        labels[one.image.astype(bool)] = SPEC.names.index(names[one.label])
    np.testing.assert_array_equal(labels, scene())
    assert len(item.annotations) == len(result_of(scene()).polygons())
