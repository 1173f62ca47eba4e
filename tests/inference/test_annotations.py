"""Annotations: what annotation tools and programs read, complete whatever was skipped, and never over corrections."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import atonce as package
from atonce.data import open_dataset
from atonce.data.formats.voc import voc_colour
from atonce.errors import UserError
from atonce.extras import how_to_install
from atonce.inference import tiles
from atonce.inference.annotations import UNKNOWN_CONFIDENCE
from atonce.inference.cvat_masks import draw_masks, require_names, write_archive
from atonce.inference.result import Result
from atonce.labels import LabelSpec
from atonce.polygons import Polygon, fill_polygons
from tests.commands import Command
from tests.data import trees
from tests.inference.test_result import SPEC, result_of, scene
from tests.networks import small_model_file

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
    kinds = [word for kind in ("coco", "cvat", "labelme", "json", "csv") for word in ("--write", kind)]
    done = atonce("predict", tiny_model, pics, "--out", out, *kinds, "--simplify", 0)
    assert done.code == 0, done.err
    names = package.load(tiny_model).classes
    coco = json.loads((out / "coco.json").read_text("utf-8"))
    assert [image["file_name"] for image in coco["images"]] == ["a.png", "c.png", "sub/b.jpg"]
    assert [entry["name"] for entry in coco["categories"]] == list(names)
    masks = unpacked(out / "cvat.zip", tmp_path / "task")
    with (out / "areas.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 11
    for image in coco["images"]:
        name = image["file_name"]
        labels = labels_in(out, name)
        np.testing.assert_array_equal(labels_of_coco(coco, image["id"], (20, 30)), labels)
        np.testing.assert_array_equal(labels_of_cvat(masks, name.rpartition(".")[0], names), labels)
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
    kinds: Any = ("coco", "cvat", "labelme", "json", "csv")
    package.predict(tiny_model, pics, out=tmp_path / "at once", write=kinds, labels=style)
    late = tmp_path / "late"
    assert package.predict(tiny_model, pics / "a.png", out=late, write="json", labels=style).done == 1
    assert package.predict(tiny_model, pics, out=late, write="json", labels=style).skipped == 1
    assert package.predict(tiny_model, pics, out=late, write=kinds, labels=style).skipped == 3
    for path in (tmp_path / "at once").rglob("*.*"):
        if path.suffix in (".json", ".csv", ".zip"):
            assert (late / path.relative_to(tmp_path / "at once")).read_bytes() == path.read_bytes()


def test_later_pictures_are_added_to_the_files_of_all(tiny_model: Path, pics: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = trees.save(tmp_path / "d.png", trees.picture(9, (30, 20)))
    package.predict(tiny_model, pics, out=out, write=("coco", "csv", "cvat"))
    package.predict(tiny_model, other, out=out, write=("coco", "csv", "cvat"))
    package.predict(tiny_model, other, out=out, write=("coco", "csv", "cvat"))
    with zipfile.ZipFile(out / "cvat.zip") as archive:
        assert archive.read("ImageSets/Segmentation/default.txt").decode().split() == ["a", "c", "sub/b", "d"]
        assert len(archive.namelist()) == 2 + 2 * 4
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
    [
        ("coco", "coco.json"),
        ("cvat", "cvat.zip"),
        ("csv", "areas.csv"),
        ("json", "json/a.json"),
        ("labelme", "labelme/a.json"),
    ],
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
    with pytest.raises(
        UserError, match=r"write='coko'; expected one of coco, cvat, labelme, json, csv; did you mean 'coco'"
    ):
        package.predict(tiny_model, pics, out=tmp_path / "out", write=cast("Any", "coko"))
    assert "coko" in atonce("predict", tiny_model, pics, "--write", "coko").mistake


def unpacked(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


def labels_of_cvat(root: Path, name: str, classes: tuple[str, ...]) -> np.ndarray:
    """Ids by the colours of labelmap.txt; those of a class called background, whatever its place, are 255 if none."""
    lines = [line.split(":")[:2] for line in (root / "labelmap.txt").read_text("utf-8").splitlines()[1:]]
    with Image.open(root / "SegmentationClass" / f"{name}.png") as picture:
        assert picture.mode == "RGB"
        pixels = np.asarray(picture)
    labels = np.full(pixels.shape[:2], 99, np.uint8)
    for label, colour in lines:
        where = (pixels == [int(part) for part in colour.split(",")]).all(2)
        labels[where] = classes.index(label) if label in classes else 255
    return labels


def test_cvat_masks_are_the_labels_and_each_area_is_an_object(tmp_path: Path) -> None:
    masks = draw_masks(result_of(scene()))
    root = tmp_path / "task"
    write_archive(tmp_path / "a.zip", SPEC, {"sub dir/a.b.png": masks})
    unpacked(tmp_path / "a.zip", root)
    assert (root / "ImageSets/Segmentation/default.txt").read_text() == "sub dir/a.b\n"
    assert (root / "labelmap.txt").read_text().splitlines()[:2] == [
        "# label:color_rgb:parts:actions",
        "background:0,0,0::",
    ]
    np.testing.assert_array_equal(labels_of_cvat(root, "sub dir/a.b", SPEC.names), scene())
    with Image.open(root / "SegmentationObject/sub dir/a.b.png") as picture:
        objects = np.asarray(picture).astype(int) @ [1, 256, 65536]
    regions = result_of(scene()).polygons()
    assert len(np.unique(objects)) == 1 + len(regions)
    for region in regions:
        assert len(np.unique(objects[region.mask(60, 80)])) == 1
    assert (objects == 0).sum() == (scene() == 0).sum()


def test_more_areas_than_cvat_has_objects_are_all_of_their_class(tmp_path: Path) -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[::2, ::2] = 1 + np.arange(30 * 40).reshape(30, 40) % 2
    labels[40:, 40:] = 2
    write_archive(tmp_path / "a.zip", SPEC, {"a.png": draw_masks(result_of(labels))})
    root = unpacked(tmp_path / "a.zip", tmp_path / "task")
    np.testing.assert_array_equal(labels_of_cvat(root, "a", SPEC.names), labels)
    with Image.open(root / "SegmentationObject/a.png") as picture:
        objects = np.asarray(picture).astype(int) @ [1, 256, 65536]
    known = {sum(c << 8 * i for i, c in enumerate(voc_colour(number))) for number in range(1, 255)}
    assert set(np.unique(objects)) <= known | {0} and ((objects == 0) == (labels == 0)).all()
    for number in np.unique(objects[objects > 0]):
        assert len(np.unique(labels[objects == number])) == 1, "an object is of one class"


@pytest.mark.parametrize(
    "palette", [((9, 9, 9), (9, 9, 9), (1, 2, 3)), ((5, 5, 5), (0, 0, 0), (1, 2, 3)), ((7, 7, 7), (1, 1, 1), (2, 2, 2))]
)
def test_colours_that_are_alike_or_black_are_told_apart_for_cvat(tmp_path: Path, palette: Any) -> None:
    spec = LabelSpec(SPEC.names, palette)
    result = Result(np.zeros((60, 80, 3), np.uint8), spec, labels=scene())
    write_archive(tmp_path / "a.zip", spec, {"a.png": draw_masks(result)})
    root = unpacked(tmp_path / "a.zip", tmp_path / "task")
    np.testing.assert_array_equal(labels_of_cvat(root, "a", SPEC.names), scene())


def test_names_that_cvats_masks_cannot_hold_are_refused_before_anything_is_done(
    tiny_model: Path, pics: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"a class called 'a:b'; expected a name that labelmap\.txt.*write='coco'"):
        require_names(LabelSpec.from_names(["a:b", "c"]), [])
    trees.save(pics / "a.jpg", trees.picture(0, (30, 20)))
    with pytest.raises(UserError, match=r"a\.jpg and a\.png have one name in CVAT's masks"):
        package.predict(tiny_model, pics, out=tmp_path / "out", write="cvat")
    assert not (tmp_path / "out" / "labels").exists()


def test_an_archive_of_other_classes_or_a_damaged_one_is_not_overwritten(
    tiny_model: Path, pics: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    package.predict(tiny_model, pics, out=out, write="cvat")
    whole = (out / "cvat.zip").read_bytes()
    (out / "cvat.zip").write_bytes(whole.replace(b"Sky:", b"Sea:"))
    with pytest.raises(UserError, match=r"cvat\.zip is of other classes, or damaged.*move it away"):
        package.predict(tiny_model, pics, out=out, write="cvat")
    package.predict(tiny_model, pics, out=out, write="cvat", overwrite=True)
    assert (out / "cvat.zip").read_bytes() == whole


@pytest.mark.parametrize("kind", ["coco", "labelme", "cvat"])
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
    elif kind == "cvat":
        # What the tool exports again, with pictures.
        for picture in sorted(data.rglob("*.*")):
            target = tmp_path / "task" / "JPEGImages" / picture.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            picture.rename(target)
        data = unpacked(out / "cvat.zip", tmp_path / "task")
        colour = package.load(tiny_model).labels.palette[names.index("Car")]
        for path in (data / "SegmentationClass").rglob("*.png"):
            with Image.open(path) as mask:
                pixels = np.array(mask)
            pixels[3:9, 2:12] = colour
            Image.fromarray(pixels).save(path)
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
    dataset = open_dataset(data)
    assert dataset.format == {"cvat": "voc-layout"}.get(kind, kind)
    items = [item for items in dataset.splits.values() for item in items]
    assert len(items) == 3
    for item in items:
        sample = dataset.load(item)
        name = item.image.relative_to(data / "JPEGImages" if kind == "cvat" else data).as_posix()
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


def archive_of(path: Path, **changes: bytes | None) -> None:
    """Write an archive once more, with other content for some of its files; None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"atonce"
        for name, content in files.items():
            if (changed := changes.get(Path(name).stem, content)) is not None:
                archive.writestr(name, changed)


def in_first_entry(path: Path, local: int, central: int, value: int) -> None:
    """Set a byte of the first file's two headers."""
    data = bytearray(path.read_bytes())
    data[data.find(b"PK\3\4") + local] = data[data.find(b"PK\1\2") + central] = value
    path.write_bytes(data)


def coco_with(**changes: Any) -> Callable[[Path], object]:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


EDITS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a cell more": ("csv", lambda path: path.write_text(path.read_text() + "x.png,0,a,1,1,1,note\n")),
    "a cell less": ("csv", lambda path: path.write_text(path.read_text() + "x.png,0\n")),
    "a cell without an end": ("csv", lambda path: path.write_text(path.read_text() + "x" * 140_000 + "\n")),
    "a table that is no UTF-8": ("csv", lambda path: path.write_bytes(path.read_bytes() + b"\xff")),
    "an image of nothing": ("coco", coco_with(images=[{}])),
    "an image with a text as id": ("coco", coco_with(images=[{"id": "a", "file_name": "q"}])),
    "images that are a number": ("coco", coco_with(images=5)),
    "a category that is a number": ("coco", coco_with(categories=[1])),
    "an annotation without an id": ("coco", coco_with(annotations=[{"image_id": 1}])),
    "no list of pictures": ("cvat", lambda path: archive_of(path, default=None)),
    "a picture that is gone": ("cvat", lambda path: archive_of(path, default=b"gone\n")),
    "a list that is no UTF-8": ("cvat", lambda path: archive_of(path, default=b"\xff\n")),
    "an archive that is encrypted": ("cvat", lambda path: in_first_entry(path, 6, 8, 1)),
    "an unknown compression": ("cvat", lambda path: in_first_entry(path, 8, 10, 99)),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_was_edited_so_that_nothing_can_be_added_is_told_before_the_work(
    edit: str, tiny_model: Path, pics: Path, tmp_path: Path
) -> None:
    kind, change = EDITS[edit]
    out = tmp_path / "out"
    package.predict(tiny_model, pics / "a.png", out=out, write=cast("Any", kind))
    path = out / {"csv": "areas.csv", "coco": "coco.json", "cvat": "cvat.zip"}[kind]
    change(path)
    edited = path.read_bytes()
    with pytest.raises(UserError, match=rf"{path.name} is (of other classes, or )?damaged.*move it away") as caught:
        package.predict(tiny_model, pics, out=out, write=cast("Any", kind))
    assert len(str(caught.value).splitlines()) == 1
    assert path.read_bytes() == edited
    assert not (out / "labels" / "c.png").exists()


@pytest.mark.parametrize("text", ["{", "5", "[1]", '{"a":1}', '["x"]', "[[1]]", "[2]", "[" * 100_000])
def test_confidences_that_are_none_are_told(text: str, tiny_model: Path, pics: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    package.predict(tiny_model, pics, out=out)
    path, texts = out / "labels" / "a.png", PngInfo()
    with Image.open(path) as picture:
        picture.load()
        for key, value in picture.info.items():
            if isinstance(value, str):
                texts.add_text(key, value)
        texts.add_text("atonce confidences", text.replace("[1]", str([1] * 10)))
        picture.save(path, pnginfo=texts)
    summary = package.predict(tiny_model, pics, out=out, write=("csv", "json"))
    assert summary.skipped == 3
    message = r"labels/a\.png is damaged \(.*\); expected a label picture; remove it, to have it done again"
    assert re.search(message, str(summary.broken[0]))
    assert {row.split(",")[0] for row in (out / "areas.csv").read_text().splitlines()[1:]} == {"c.png", "sub/b.jpg"}


def confidences_in(table: Path) -> list[str]:
    with table.open(newline="") as file:
        return [row["confidence"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("probabilities", [False, True])
def test_a_run_says_once_why_its_export_tells_no_confidence(
    atonce: Command, pics: Path, tmp_path: Path, probabilities: bool
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    model, out = tmp_path / "model.safetensors", tmp_path / "out"
    small_model_file().save(model)
    exported = package.export(model, to="onnx", probabilities=probabilities).path
    note = "3 pictures without confidence: the exported file gives labels alone; take the model file, or export it with"
    for _ in range(2):  # what was done already is no surer
        done = atonce("predict", exported, pics, "--out", out, "--write", "csv", "--write", "json")
        assert done.code == 0, done.err
        told = " ".join(done.err.split())
        assert told.count("confidence") == told.count(f"{note} --probabilities") == int(not probabilities)
    assert any(confidences_in(out / "areas.csv")) == probabilities
    notes = [json.loads(path.read_text())["notes"] for path in (out / "json").rglob("*.json")]
    assert notes == [[] if probabilities else [UNKNOWN_CONFIDENCE]] * 3


def test_confidence_that_was_not_asked_for_in_time_is_said_to_be_unknown(
    atonce: Command, tiny_model: Path, pics: Path, tmp_path: Path
) -> None:
    words = ("predict", tiny_model, pics, "--out", tmp_path / "out", "--write")
    assert "confidence" not in atonce(*words, "coco").err
    again = " ".join(atonce(*words, "csv").err.split())
    assert "3 pictures without confidence: segmented before, when none was asked for; --overwrite segments" in again
    assert not any(confidences_in(tmp_path / "out" / "areas.csv"))
    assert "without confidence" not in atonce(*words, "csv", "--overwrite").err
    assert any(confidences_in(tmp_path / "out" / "areas.csv"))


def test_confidence_of_huge_pictures_is_said_to_be_unknown(
    tiny_model: Path, pics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "LOGIT_PIXELS", 100)
    notes: list[str] = []
    package.predict(tiny_model, pics / "a.png", out=tmp_path / "out", write="csv", on_note=notes.append)
    assert "1 picture without confidence: it is too large to hold its probabilities" in notes
