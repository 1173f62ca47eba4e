"""Annotations: what annotation tools and programs read, complete whatever was skipped, and never over corrections."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

import atonce as package
from atonce.data import open_dataset
from atonce.data.formats import recognise
from atonce.errors import UserError
from atonce.extras import how_to_install
from atonce.inference.result import Result
from atonce.labels import LabelSpec
from atonce.polygons import Polygon, fill_polygons
from tests.commands import Command
from tests.data import trees
from tests.inference.test_result import SPEC, result_of, scene

# pycocotools' decode is older than the NumPy here.
DECODING = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def labels_of_coco(data: dict[str, Any], image_id: int, size: tuple[int, int]) -> np.ndarray:
    """Ids as pycocotools decodes them; 0 where nothing is annotated."""
    coder = pytest.importorskip("pycocotools.mask", reason="the extra `coco` is not installed")
    labels = np.zeros(size, np.uint8)
    for one in data["annotations"]:
        if one["image_id"] != image_id:
            continue
        encoded = one["segmentation"]
        if isinstance(encoded["counts"], list):
            encoded = coder.frPyObjects(encoded, *size)
        mask = coder.decode(encoded).astype(bool)
        assert one["area"] == mask.sum() == coder.area(encoded)
        np.testing.assert_array_equal(one["bbox"], coder.toBbox(encoded))
        labels[mask] = one["category_id"] - 1
    return labels


def labels_of_labelme(data: dict[str, Any], names: tuple[str, ...]) -> np.ndarray:
    """Ids as the polygons cover each other, the later ones over the earlier ones; 0 where there is none."""
    size = data["imageHeight"], data["imageWidth"]
    labels = np.zeros(size, np.uint8)
    for shape in data["shapes"]:
        assert shape["shape_type"] == "polygon"
        labels[fill_polygons([Polygon(np.array(shape["points"], float))], *size)] = names.index(shape["label"])
    return labels


@DECODING
@pytest.mark.parametrize("compressed", [True, False])
def test_coco_masks_are_the_labels_exactly(compressed: bool) -> None:
    pytest.importorskip("pycocotools", reason="the extra `coco` is not installed")
    data = result_of(scene(), source="pics/street.png").to_coco(compressed=compressed)
    np.testing.assert_array_equal(labels_of_coco(json.loads(json.dumps(data)), 1, (60, 80)), scene())
    assert data["images"] == [{"id": 1, "file_name": "street.png", "width": 80, "height": 60}]
    assert [(entry["id"], entry["name"]) for entry in data["categories"]] == [(2, "road"), (3, "car")]
    assert {one["iscrowd"] for one in data["annotations"]} == {1}


def test_compressed_masks_without_pycocotools_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("pycocotools", "pycocotools.mask"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=f"needs the package pycocotools.*{re.escape(how_to_install('coco'))}"):
        result_of(scene()).to_coco()
    assert result_of(scene()).to_coco(compressed=False)["annotations"]


def test_labelme_polygons_give_the_labels_back_exactly_where_not_simplified() -> None:
    result = result_of(scene(), source="pics/street.png")
    data = json.loads(json.dumps(result.to_labelme(simplify=0)))
    np.testing.assert_array_equal(labels_of_labelme(data, SPEC.names), scene())
    assert {key: data[key] for key in ("imagePath", "imageData", "imageHeight", "imageWidth", "flags")} == {
        "imagePath": "street.png", "imageData": None, "imageHeight": 60, "imageWidth": 80, "flags": {}
    }  # fmt: skip
    about = (labels_of_labelme(result.to_labelme(), SPEC.names) == scene()).mean()
    assert about > 0.99, "within a pixel of the outlines"


@pytest.fixture
def pics(tmp_path: Path) -> Path:
    for index, name in enumerate(("a.png", "sub/b.jpg", "c.png")):
        trees.save(tmp_path / "pics" / name, trees.picture(index, (30, 20)))
    return tmp_path / "pics"


def labels_in(out: Path, name: str) -> np.ndarray:
    with Image.open((out / "labels" / name).with_suffix(".png")) as picture:
        return np.asarray(picture)


@DECODING
def test_predict_writes_all_kinds(atonce: Command, tiny_model: Path, pics: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    kinds = [word for kind in ("coco", "labelme", "json", "csv") for word in ("--write", kind)]
    done = atonce("predict", tiny_model, pics, "--out", out, *kinds, "--simplify", 0)
    assert done.code == 0, done.err
    names = package.load(tiny_model).classes
    coco = json.loads((out / "coco.json").read_text("utf-8"))
    assert [image["file_name"] for image in coco["images"]] == ["a.png", "c.png", "sub/b.jpg"]
    assert [entry["name"] for entry in coco["categories"]] == list(names)
    with (out / "areas.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 11
    for image in coco["images"]:
        name = image["file_name"]
        labels = labels_in(out, name)
        np.testing.assert_array_equal(labels_of_coco(coco, image["id"], (20, 30)), labels)
        labelme = json.loads((out / "labelme" / name).with_suffix(".json").read_text("utf-8"))
        np.testing.assert_array_equal(labels_of_labelme(labelme, names), labels)
        picture = (out / "labelme" / name).parent / labelme["imagePath"]
        assert picture.resolve() == (pics / name).resolve(), "the tool finds the picture"
        data = json.loads((out / "json" / name).with_suffix(".json").read_text("utf-8"))
        assert (data["picture"], data["width"]) == (name, 30)
        for row in (row for row in rows if row["picture"] == name):
            class_id = int(row["class_id"])
            assert row["class"] == names[class_id] == data["classes"][class_id]["name"]
            assert int(row["pixels"]) == (labels == class_id).sum() == data["classes"][class_id]["pixels"]
            assert bool(row["confidence"]) == (int(row["pixels"]) > 0)


@pytest.mark.parametrize("style", ["palette", "grey", "values", "colours"])
def test_annotations_are_complete_whatever_was_done_before(
    tiny_model: Path, pics: Path, tmp_path: Path, style: Any
) -> None:
    kinds: Any = ("coco", "labelme", "json", "csv")
    package.predict(tiny_model, pics, out=tmp_path / "at once", write=kinds, labels=style)
    late = tmp_path / "late"
    assert package.predict(tiny_model, pics / "a.png", out=late, write="json", labels=style).done == 1
    assert package.predict(tiny_model, pics, out=late, write="json", labels=style).skipped == 1
    assert package.predict(tiny_model, pics, out=late, write=kinds, labels=style).skipped == 3
    for path in (tmp_path / "at once").rglob("*.*"):
        if path.suffix in (".json", ".csv"):
            assert (late / path.relative_to(tmp_path / "at once")).read_text() == path.read_text()


def test_later_pictures_are_added_to_the_files_of_all(tiny_model: Path, pics: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = trees.save(tmp_path / "d.png", trees.picture(9, (30, 20)))
    package.predict(tiny_model, pics, out=out, write=("coco", "csv"))
    package.predict(tiny_model, other, out=out, write=("coco", "csv"))
    package.predict(tiny_model, other, out=out, write=("coco", "csv"))
    coco = json.loads((out / "coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["a.png", "c.png", "sub/b.jpg", "d.png"]
    for entries in (coco["images"], coco["annotations"]):
        assert len({one["id"] for one in entries}) == len(entries)
    assert {one["image_id"] for one in coco["annotations"]} == {image["id"] for image in coco["images"]}
    assert len((out / "areas.csv").read_text().splitlines()) == 1 + 4 * 11
    package.predict(tiny_model, other, out=out, write=("coco", "csv"), overwrite=True)
    assert len(json.loads((out / "coco.json").read_text())["images"]) == 1


def test_what_a_person_has_corrected_is_not_overwritten(tiny_model: Path, pics: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    package.predict(tiny_model, pics, out=out, write="labelme")
    path = out / "labelme" / "a.json"
    data = json.loads(path.read_text())
    data["shapes"] = data["shapes"][1:]
    path.write_text(json.dumps(data))
    corrected = path.read_bytes()
    assert package.predict(tiny_model, pics, out=out, write="labelme").skipped == 3
    assert path.read_bytes() == corrected
    trees.save(pics / "a.png", trees.picture(7, (40, 30)))
    with pytest.raises(UserError, match=r"labelme/a\.json was changed since it was written.*move it away"):
        package.predict(tiny_model, pics, out=out, write="labelme")
    assert path.read_bytes() == corrected
    trees.save(pics / "c.png", trees.picture(8, (40, 30)))
    assert package.predict(tiny_model, pics / "c.png", out=out, write="labelme").done == 1
    assert json.loads((out / "labelme" / "c.json").read_text())["imageWidth"] == 40
    package.predict(tiny_model, pics, out=out, write="labelme", overwrite=True)
    assert json.loads(path.read_text())["imageWidth"] == 40


@pytest.mark.parametrize(
    ("kind", "name"),
    [("coco", "coco.json"), ("csv", "areas.csv"), ("json", "json/a.json"), ("labelme", "labelme/a.json")],
)
@pytest.mark.parametrize("text", ["mine", '{"images": []}', "picture,mine\na,1\n"])
def test_other_peoples_files_are_not_overwritten(
    tiny_model: Path, pics: Path, tmp_path: Path, kind: Any, name: str, text: str
) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(UserError, match="is not of atonce"):
        package.predict(tiny_model, pics, out=tmp_path / "out", write=kind)
    assert path.read_text() == text
    assert package.predict(tiny_model, pics, out=tmp_path / "out", write=kind, overwrite=True).done == 3


def test_annotations_are_of_the_classes_and_areas_that_are_asked_for(
    tiny_model: Path, pics: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    package.predict(tiny_model, pics, out=out, write=("coco", "labelme"), only=["Tree", "Road"], min_area=5)
    coco = json.loads((out / "coco.json").read_text())
    assert [entry["name"] for entry in coco["categories"]] == ["Road", "Tree"]
    assert all(one["area"] >= 5 for one in coco["annotations"])
    assert {labels_in(out, name).max() for name in ("a.png", "c.png")} <= {3, 5, 255}
    assert json.loads((out / "labelme" / "a.json").read_text())["shapes"] is not None


def test_an_unknown_kind_is_told(atonce: Command, tiny_model: Path, pics: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"write='coko'; expected one of coco, labelme, json, csv; did you mean 'coco'"):
        package.predict(tiny_model, pics, out=tmp_path / "out", write=cast("Any", "coko"))
    assert "coko" in atonce("predict", tiny_model, pics, "--write", "coko").mistake


@pytest.mark.parametrize("kind", ["coco", "labelme"])
def test_the_circle_from_a_model_to_a_tool_and_back_to_training(
    tiny_model: Path, pics: Path, tmp_path: Path, kind: Any
) -> None:
    """What the model says is annotated, corrected, and read as training data: the corrected labels."""
    out, data = tmp_path / "out", tmp_path / "corrected"
    package.predict(tiny_model, pics, out=out, write=kind, simplify=0)
    names = package.load(tiny_model).classes
    data.mkdir()
    for picture in pics.rglob("*.*"):
        (data / picture.relative_to(pics)).parent.mkdir(exist_ok=True, parents=True)
        (data / picture.relative_to(pics)).write_bytes(picture.read_bytes())
    if kind == "labelme":
        for path in (out / "labelme").rglob("*.json"):
            about = json.loads(path.read_text())
            target = data / path.relative_to(out / "labelme")
            about["imagePath"] = Path(about["imagePath"]).name
            about["shapes"].append(square(about["shapes"][0], "Car"))
            target.write_text(json.dumps(about))
    else:
        about = json.loads((out / "coco.json").read_text())
        for image in about["images"]:
            number = max(one["id"] for one in about["annotations"]) + 1
            about["annotations"].append(
                {
                    "id": number,
                    "image_id": image["id"],
                    "category_id": names.index("Car") + 1,
                    "iscrowd": 0,
                    "area": 60,
                    "bbox": [2, 3, 10, 6],
                    "segmentation": [[2, 3, 12, 3, 12, 9, 2, 9]],
                }
            )
        (data / "annotations.json").write_text(json.dumps(about))
    if recognise(data) is None:
        pytest.skip(f"there is no reader of {kind}")
    dataset = open_dataset(data)
    items = [item for items in dataset.splits.values() for item in items]
    assert len(items) == 3
    for item in items:
        sample = dataset.load(item)
        name = item.image.relative_to(data).as_posix()
        expected = labels_in(out, name).copy()
        expected[3:9, 2:12] = names.index("Car")
        known = [dataset.labels.names[i] if i < 255 else None for i in range(dataset.labels.num_classes)]
        found = np.array([names.index(one) if one in names else 255 for one in known], np.uint8)
        assert sample.mask is not None
        np.testing.assert_array_equal(found[sample.mask], expected)


def square(shape: dict[str, Any], label: str) -> dict[str, Any]:
    """A shape that an annotator has drawn."""
    return {**shape, "label": label, "points": [[2, 3], [12, 3], [12, 9], [2, 9]]}


def test_a_class_of_any_name_is_annotated() -> None:
    spec = LabelSpec.from_names(["Straße / 道路", "<b>"])
    result = Result(np.zeros((4, 4, 3), np.uint8), spec, labels=np.eye(4, dtype=np.uint8))
    data = json.loads(json.dumps(result.to_labelme()))
    assert {shape["label"] for shape in data["shapes"]} == set(spec.names)
