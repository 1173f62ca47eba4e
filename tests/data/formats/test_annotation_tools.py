"""What each annotation tool's layout has of its own: what is assumed, said and refused."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from atonce.data.annotation_shapes import decode_rle
from atonce.data.checks import check
from atonce.data.dataset import Annotation, Dataset, Item
from atonce.data.fingerprint import fingerprint
from atonce.data.formats import open_dataset, recognise
from atonce.doctor import examine
from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX
from tests.data import annotation_trees as tools
from tests.data import trees
from tests.data.trees import HEIGHT, WIDTH, ids, picture, save

FULL = (HEIGHT, WIDTH)


def _problems(root: Path) -> list[str]:
    dataset = open_dataset(root)
    return [problem.line(dataset.root) for problem in check(dataset, ("train", "val", "test")).problems]


def _errors(root: Path) -> list[str]:
    dataset = open_dataset(root)
    found = check(dataset, ("train", "val", "test")).problems
    return [problem.line(dataset.root) for problem in found if problem.severity == "error"]


def _items(dataset: Dataset) -> list[Item]:
    return [item for items in dataset.splits.values() for item in items]


def _item(dataset: Dataset, name: str) -> Item:
    return next(item for item in _items(dataset) if item.name == name)


def _edit_json(path: Path, change: Callable[[Any], object]) -> None:
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_text(json.dumps(data), "utf-8")


class TestCvat:
    def test_the_zip_opens_by_itself_with_its_own_classes(self, tmp_path: Path) -> None:
        dataset = open_dataset(tools.cvat(tmp_path))
        assert dataset.labels.names == tools.NAMES and dataset.labels.palette == tuple(tools.VOC_COLOURS.values())
        assert {item.name for item in _items(dataset)} == {f"cam front__frame.{i:04}" for i in range(5)}

    def test_subsets_are_the_splits(self, tmp_path: Path) -> None:
        dataset = open_dataset(tools.cvat_subsets(tmp_path))
        assert {split: len(items) for split, items in dataset.splits.items()} == {"train": 3, "val": 2, "test": 1}
        assert dataset.split("test")[0].mask is not None and "split_seed" not in dataset.extras

    def test_without_pictures_it_says_what_to_export(self, tmp_path: Path) -> None:
        tools.cvat(tmp_path / "task")
        (tmp_path / "task" / "JPEGImages").rename(tmp_path / "frames")
        with pytest.raises(DataError, match=r"masks, but no pictures.*'Save images'.*`images`"):
            open_dataset(tmp_path / "task")
        dataset = open_dataset(tmp_path / "task", images=tmp_path / "frames", masks="SegmentationClass")
        assert dataset.labels.names == tools.NAMES and len(_items(dataset)) == 5 and not dataset.problems

    def test_pictures_that_the_list_leaves_out_are_told(self, tmp_path: Path) -> None:
        tools.cvat(tmp_path)
        path = tmp_path / "ImageSets/Segmentation/default.txt"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
        dataset = open_dataset(tmp_path)
        assert "1 picture with a mask in no list, left out: cam front/frame.0000" in dataset.notes

    @pytest.mark.parametrize("alias", ["cvat", "CVAT", "voc-layout", "voc_layout"])
    def test_the_format_can_be_named(self, tmp_path: Path, alias: str) -> None:
        assert open_dataset(tools.cvat(tmp_path), format=alias).format == "voc-layout"

    def test_asked_for_voc_itself_the_way_on_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"holds default\.txt; expected train\.txt.*format='voc-layout'"):
            open_dataset(tools.cvat(tmp_path), format="voc")

    def test_a_format_that_does_not_fit_names_the_one_that_does(self, tmp_path: Path) -> None:
        """A recipe may ask for images/ and masks/, which nobody who types its name has said."""
        with pytest.raises(DataError, match=r"for format='folder'; it is voc-layout: format='voc-layout'"):
            open_dataset(tools.cvat(tmp_path), format="folder")

    def test_a_label_of_the_task_that_says_void(self, tmp_path: Path) -> None:
        tools.cvat(tmp_path)
        path = tmp_path / "labelmap.txt"
        path.write_text(path.read_text().replace("car", "ignore"))
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == ("background", "road")
        assert any("'ignore' in labelmap.txt counts as void" in note for note in dataset.notes)


class TestCoco:
    def test_crowds_and_polygons_are_of_their_classes(self, tmp_path: Path) -> None:
        dataset = open_dataset(tools.cvat_coco(tmp_path))
        assert dataset.labels.names == ("background", "road", "car")
        assert any("what no shape covers (58 % of the pixels) is class 0, background" in n for n in dataset.notes)

    def test_compressed_run_lengths(self) -> None:
        """Written by pycocotools."""
        mask = tools.box_mask(tools.ROAD)
        mask[0, 0] = True
        mask[10:14, 10:20] = False
        rle = {"size": [24, 36], "counts": COMPRESSED}
        assert np.array_equal(decode_rle(rle), mask)
        assert np.array_equal(decode_rle(tools.run_lengths(mask)), mask)

    def test_pycocotools_writes_what_is_read(self) -> None:
        coder = pytest.importorskip("pycocotools.mask")
        mask = np.random.default_rng(0).random((57, 91)) < 0.3
        encoded = coder.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert np.array_equal(decode_rle({"size": [57, 91], "counts": encoded["counts"].decode()}), mask)

    def test_parts_of_one_annotation_are_one_region(self, tmp_path: Path) -> None:
        tools.cvat_coco(tmp_path, 2)
        both = [tools.corners((0, 0, 2, 2)), tools.corners((4, 0, 6, 2))]
        path = tmp_path / "annotations/instances_default.json"
        _edit_json(path, lambda data: data["annotations"][1].update(segmentation=both))
        dataset = open_dataset(tmp_path)
        mask = trees.mask_of(dataset, _item(dataset, "cam front__frame.0000"))
        assert mask[0, :8].tolist() == [2, 2, 0, 0, 2, 2, 0, 0]

    def test_a_category_called_background_is_the_background(self, tmp_path: Path) -> None:
        tools.cvat_coco(tmp_path)
        path = tmp_path / "annotations/instances_default.json"
        _edit_json(path, lambda data: data["categories"].append({"id": 9, "name": "Background"}))
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == ("road", "car", "Background")
        assert set(np.unique(trees.mask_of(dataset, _items(dataset)[0]))) == {0, 1, 2}

    def test_shapes_that_cover_everything_leave_no_background(self, tmp_path: Path) -> None:
        tools.cvat_coco(tmp_path)
        whole = tools.run_lengths(tools.box_mask((0, 0, WIDTH, HEIGHT)) & ~tools.box_mask((0, 0, 2, 1)))
        path = tmp_path / "annotations/instances_default.json"
        _edit_json(path, lambda data: [a.update(segmentation=whole) for a in data["annotations"][::2]])
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == ("road", "car")
        mask = trees.mask_of(dataset, _items(dataset)[0])
        assert (mask == IGNORE_INDEX).sum() == 2
        assert any("is void: shapes cover nearly all" in note for note in dataset.notes)

    @pytest.mark.parametrize("segmentation", [[], None])
    def test_boxes_without_masks_are_refused(self, tmp_path: Path, segmentation: object) -> None:
        tools.cvat_coco(tmp_path)
        path = tmp_path / "annotations/instances_default.json"
        _edit_json(path, lambda data: data["annotations"][0].update(segmentation=segmentation))
        (error,) = _errors(tmp_path)
        assert "instances_default.json has 1 annotation of cam front/frame.0000.jpg without a segmentation" in error

    def test_pictures_that_are_not_there(self, tmp_path: Path) -> None:
        (tools.cvat_coco(tmp_path) / "images/default/cam front/frame.0001.jpg").unlink()
        (error,) = _errors(tmp_path)
        assert "cam front/frame.0001.jpg does not exist, but instances_default.json lists it" in error

    def test_pictures_that_are_not_listed_or_not_annotated_are_told(self, tmp_path: Path) -> None:
        tools.cvat_coco(tmp_path)
        save(tmp_path / "images/default/cam front/new.jpg", picture(9))
        path = tmp_path / "annotations/instances_default.json"
        _edit_json(path, lambda data: data.update(annotations=data["annotations"][2:]))
        dataset = open_dataset(tmp_path)
        assert [(p.kind, p.path.name, p.severity) for p in dataset.problems] == [("no-mask", "new.jpg", "note")]
        assert any("1 picture has no annotation" in note and "frame.0000" in note for note in dataset.notes)
        assert (trees.mask_of(dataset, _item(dataset, "cam front__frame.0000")) == 0).all()

    def test_a_file_of_another_picture_size(self, tmp_path: Path) -> None:
        tools.coco2017(tmp_path)
        path = tmp_path / "annotations/instances_val2017.json"
        _edit_json(path, lambda data: data["images"][0].update(width=WIDTH + 2))
        errors = _errors(tmp_path)
        assert len(errors) == 1 and "instances_val2017.json holds a mask of 36x24" in errors[0]

    def test_several_files_of_one_project(self, tmp_path: Path) -> None:
        """Two tasks of CVAT, unpacked into one folder, whose categories have other numbers."""
        for i, task in enumerate(("a", "b")):
            save(tmp_path / "images" / f"{task}.jpg", picture(i))
            tools.write_coco(tmp_path / "annotations" / f"{task}.json", [f"{task}.jpg"], first_id=1 + 5 * i)
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == tools.NAMES and len(_items(dataset)) == 2
        assert all((trees.mask_of(dataset, item) == tools.scene()).all() for item in _items(dataset))

    def test_something_else_in_json(self, tmp_path: Path) -> None:
        tools.cvat_coco(tmp_path)
        (tmp_path / "annotations/instances_default.json").write_text('{"images": 1, "annotations": 2, "categories": 3}')
        with pytest.raises(DataError, match=r"instances_default\.json is no COCO file"):
            open_dataset(tmp_path)


COMPRESSED = "01W3=SM0000000000DJ66JJ66JJ66JJ66JJ66JJ66JJ66JJ66JJ66JJ666000000000000000000X4"
"""The road with a hole and the first pixel, as pycocotools encodes it."""


class TestLabelme:
    def _with(self, root: Path, *shapes: dict[str, Any]) -> NDArray[np.uint8]:
        """The mask of a picture with these shapes, in an otherwise empty data set."""
        tools.labelme(root, 2)
        for i in range(2):
            tools.write_labelme(root / f"street {i}.json", f"street {i}.jpg", shapes)
        dataset = open_dataset(root)
        return trees.mask_of(dataset, _item(dataset, "street 0"))

    def test_smaller_shapes_lie_over_larger_ones(self, tmp_path: Path) -> None:
        large = tools.labelme_shape("a", [(0, 0), (20, 20)], "rectangle")
        small = tools.labelme_shape("b", [(4, 4), (8, 8)], "rectangle")
        mask = self._with(tmp_path, small, large)
        assert mask[5, 5] == 2 and mask[0, 0] == 1 and (mask == 2).sum() == 16

    @pytest.mark.parametrize(
        ("kind", "points", "pixels"),
        [
            ("polygon", [(2, 2), (6, 2), (6, 6), (2, 6)], 16),
            ("polygon", [(2, 2), (10, 2), (2, 10)], 28),
            ("rectangle", [(6, 6), (2, 2)], 16),
            ("oriented_rectangle", [(2, 2), (6, 2), (6, 6), (2, 6)], 16),
            ("circle", [(12, 12), (12, 16)], 52),
            ("line", [(10, 2), (10, 12)], 100),
            ("linestrip", [(10, 2), (10, 12), (20, 12)], 175),
            ("point", [(12, 12)], 80),
        ],
    )
    def test_each_type_of_shape(
        self, tmp_path: Path, kind: str, points: list[tuple[float, float]], pixels: int
    ) -> None:
        """Areas by hand; lines are 10 pixels wide and points have a radius of 5, as labelme paints them."""
        mask = self._with(tmp_path, tools.labelme_shape("a", points, kind))
        assert abs(int((mask == 1).sum()) - pixels) <= 1

    def test_a_mask_of_its_assistant(self, tmp_path: Path) -> None:
        part = np.zeros((5, 4), bool)
        part[1:4, 1:3] = True
        shape = tools.labelme_shape("a", [(6, 2), (9, 6)], "mask", mask=tools.labelme_mask_png(part))
        mask = self._with(tmp_path, shape)
        assert np.argwhere(mask == 1).tolist() == [[3 + y, 7 + x] for y in range(3) for x in range(2)]

    def test_shapes_beyond_the_border_are_cut(self, tmp_path: Path) -> None:
        part = tools.labelme_mask_png(np.ones((4, 4), bool))
        outside = tools.labelme_shape("a", [(-2, -2), (1, 1)], "mask", mask=part)
        mask = self._with(tmp_path, outside, tools.labelme_shape("b", [(30, 20), (90, 90)], "rectangle"))
        assert (mask == 1).sum() == 4 and (mask == 2).sum() == (WIDTH - 30) * (HEIGHT - 20)

    def test_spaces_around_a_label_make_no_class_of_their_own(self, tmp_path: Path) -> None:
        boxes = [("road", 0), ("road ", 6), (" car", 12), (" background", 18)]
        shapes = [tools.labelme_shape(name, [(x, 0), (x + 4, 4)], "rectangle") for name, x in boxes]
        self._with(tmp_path, *shapes)
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == ("background", "car", "road")
        mask = trees.mask_of(dataset, _item(dataset, "street 0"))
        assert mask[0, ::6].tolist() == [2, 2, 1, 0, 0, 0]
        assert any("spaces around labels are not looked at: ' background', ' car', 'road '" in n for n in dataset.notes)
        (tmp_path / "classes.yaml").write_text("[background, road, car]")
        assert _errors(tmp_path) == []
        dataset = open_dataset(tmp_path)
        assert trees.mask_of(dataset, _item(dataset, "street 0"))[0, ::6].tolist() == [1, 1, 2, 0, 0, 0]

    def test_half_annotated_folders(self, tmp_path: Path) -> None:
        save(tools.labelme(tmp_path) / "later.jpg", picture(9))
        dataset = open_dataset(tmp_path)
        assert [(p.kind, p.path.name, p.severity) for p in dataset.problems] == [("no-mask", "later.jpg", "note")]

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            (tools.labelme_shape("a", [(0, 0), (1, 1)]), "shape 1, a is a polygon of 2 points"),
            (tools.labelme_shape("a", [(0, 0)], "star"), "shape 1, a is a star, which is not known"),
            ({"label": "a"}, "KeyError: 'points'"),
        ],
    )
    def test_shapes_that_are_none(self, tmp_path: Path, shape: dict[str, Any], message: str) -> None:
        tools.write_labelme(tools.labelme(tmp_path) / "street 1.json", "street 1.jpg", [shape])
        (error,) = _errors(tmp_path)
        assert error.startswith("street 1.json cannot be understood") and message in error

    def test_a_picture_that_is_not_there(self, tmp_path: Path) -> None:
        (tools.labelme(tmp_path) / "street 1.jpg").unlink()
        (error,) = _errors(tmp_path)
        assert error.startswith("street 1.json is about street 1.jpg, which does not exist")

    def test_a_damaged_file(self, tmp_path: Path) -> None:
        path = tools.labelme(tmp_path) / "street 1.json"
        path.write_text(path.read_text()[:-30])
        (error,) = _errors(tmp_path)
        assert error.startswith("street 1.json") and "cannot be read" in error

    def test_folders_of_cameras_are_one_data_set(self, tmp_path: Path) -> None:
        for camera in ("left", "right"):
            tools.labelme(tmp_path / camera)
        dataset = open_dataset(tmp_path)
        assert len(_items(dataset)) == 10 and "left__street 0" in {item.name for item in _items(dataset)}

    def test_a_folder_of_many_data_sets_is_none(self, tmp_path: Path) -> None:
        tools.labelme(tmp_path / "mine")
        tools.cvat_coco(tmp_path / "other")
        (tmp_path / "third").mkdir()
        assert recognise(tmp_path) is None
        assert len(_items(open_dataset(tmp_path, format="labelme"))) == 5


class TestYolo:
    def test_boxes_are_no_polygons(self, tmp_path: Path) -> None:
        for path in tools.yolo(tmp_path).glob("labels/*/*.txt"):
            path.write_text("0 0.5 0.5 0.2 0.2\n")
        with pytest.raises(DataError, match=r"are boxes \(4 numbers\), as for detection.*for segmentation"):
            open_dataset(tmp_path)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("0 0.5 0.5 0.2 0.2", "holds 1 box (4 numbers) among polygons"),
            ("0 0.5 0.5 0.2", "holds '0 0.5 0.5 0.2' in line 3"),
            ("road 0.1 0.1 0.2 0.2 0.3 0.3", "holds 'road 0.1"),
            ("7 0.1 0.1 0.2 0.2 0.3 0.1", "holds the label 'class 7' (000.jpg)"),
        ],
    )
    def test_lines_that_are_no_polygons(self, tmp_path: Path, line: str, message: str) -> None:
        path = tools.yolo(tmp_path) / "labels/train/000.txt"
        path.write_text(path.read_text() + line + "\n")
        (error,) = _errors(tmp_path)
        assert error.startswith("labels/train/000.txt") and message in error

    def test_a_picture_without_a_file_is_background_and_told(self, tmp_path: Path) -> None:
        (tools.yolo(tmp_path) / "labels/train/002.txt").unlink()
        dataset = open_dataset(tmp_path)
        assert (trees.mask_of(dataset, _item(dataset, "002")) == 0).all()
        assert "train: 1 picture has no polygon, and nothing but background: 002.jpg" in dataset.notes

    def test_a_file_without_a_picture_is_an_error(self, tmp_path: Path) -> None:
        """Else a picture of a mistaken name would be trained as background."""
        path = tools.yolo(tmp_path) / "labels/train/002.txt"
        path.rename(path.with_name("0O2.txt"))
        (error,) = _errors(tmp_path)
        assert error.startswith("labels/train/0O2.txt has no picture")

    def test_without_names_classes_are_numbered(self, tmp_path: Path) -> None:
        (tools.yolo_label_studio(tmp_path) / "classes.txt").unlink()
        assert open_dataset(tmp_path).labels.names == ("background", "class 0", "class 1")

    @pytest.mark.parametrize("tree", [tools.yolo, tools.ultralytics])
    def test_one_folder_for_train_and_val_is_split_and_said(self, tmp_path: Path, tree: Callable[[Path], Path]) -> None:
        root = tree(tmp_path)
        text = (root / "data.yaml").read_text()
        (root / "data.yaml").write_text(text.replace("val: images/val", "val: images/train"))
        said = "data.yaml names the same pictures for train and val: a part of them is split off for val"
        assert said in open_dataset(root).notes
        (root / "data.yaml").write_text(text)
        assert said not in open_dataset(root).notes

    def test_lists_of_pictures(self, tmp_path: Path) -> None:
        tools.yolo(tmp_path)
        for split in ("train", "val"):
            names = sorted(path.name for path in (tmp_path / "images" / split).iterdir())
            (tmp_path / f"{split}.txt").write_text("".join(f"./images/{split}/{name}\n" for name in names))
        text = (tmp_path / "data.yaml").read_text()
        (tmp_path / "data.yaml").write_text(text.replace("images/train", "train.txt").replace("images/val", "val.txt"))
        dataset = open_dataset(tmp_path)
        assert {split: len(items) for split, items in dataset.splits.items()} == {"train": 4, "val": 2}

    def test_a_folder_that_data_yaml_misnames(self, tmp_path: Path) -> None:
        path = tools.yolo(tmp_path) / "data.yaml"
        path.write_text(path.read_text().replace("images/val", "images/vale"))
        (error,) = _errors(tmp_path)
        assert error.startswith("images/vale does not exist, but data.yaml names it")

    def test_masks_beside_data_yaml_are_ultralytics(self, tmp_path: Path) -> None:
        dataset = open_dataset(tools.ultralytics(tmp_path))
        assert dataset.format == "ultralytics" and dataset.labels.names == tools.NAMES
        assert "classes from data.yaml" in dataset.notes

    def test_label_mapping(self, tmp_path: Path) -> None:
        dataset = open_dataset(tools.ultralytics_mapping(tmp_path))
        item = dataset.split("train")[0]
        raw = np.asarray(Image.open(str(item.mask)))
        assert np.array_equal(trees.mask_of(dataset, item), np.select([raw == 7, raw == 26], [0, 1], 255))

    def test_masks_and_pictures_without_partner(self, tmp_path: Path) -> None:
        mask = tools.ultralytics(tmp_path) / "masks/train/1.png"
        mask.rename(mask.with_name("one.png"))
        lines = _problems(tmp_path)
        assert [line.split(";")[0] for line in lines] == [
            "images/train/1.jpg has no mask and is left out",
            "masks/train/one.png has no picture",
        ]


class TestLabelStudio:
    def test_the_last_annotation_of_a_task_counts(self, tmp_path: Path) -> None:
        tools.label_studio(tmp_path)
        other = np.full(FULL, 255, np.uint8)
        save(tmp_path / "masks/task-11-annotation-77-by-2-tag-car-0.png", other)
        dataset = open_dataset(tmp_path)
        assert "1 task annotated more than once, the last counts: 11" in dataset.notes
        car = dataset.labels.names.index("car")
        assert (trees.mask_of(dataset, _item(dataset, "00000000-street0")) == car).all()

    def test_without_the_json_export_nothing_is_guessed(self, tmp_path: Path) -> None:
        next(tools.label_studio(tmp_path).glob("*.json")).unlink()
        message = r"is of task 11, and nothing says which picture that is \(and 4 more\); expected .*JSON export"
        with pytest.raises(DataError, match=message):
            open_dataset(tmp_path)

    def test_pictures_called_after_their_task(self, tmp_path: Path) -> None:
        next(tools.label_studio(tmp_path).glob("*.json")).unlink()
        for i, path in enumerate(sorted((tmp_path / "images").iterdir())):
            path.rename(path.with_name(f"task-{11 + i}.jpg"))
        assert _errors(tmp_path) == [] and len(_items(open_dataset(tmp_path))) == 5

    @pytest.mark.parametrize("source", ["s3://bucket/a%20b/street0.jpg", "/data/local-files/?d=images/street0.jpg"])
    def test_where_pictures_came_from(self, tmp_path: Path, source: str) -> None:
        tools.label_studio(tmp_path, 2)
        (tmp_path / "images/00000000-street0.jpg").rename(tmp_path / "images/street0.jpg")
        export = next(tmp_path.glob("*.json"))
        _edit_json(export, lambda tasks: tasks[0].update(data={"image": source}))
        assert _errors(tmp_path) == []

    def test_json_min(self, tmp_path: Path) -> None:
        export = next(tools.label_studio(tmp_path).glob("*.json"))
        tasks = [{"id": 11 + i, "image": f"/data/upload/3/{i:08x}-street{i}.jpg"} for i in range(5)]
        export.write_text(json.dumps(tasks))
        assert _errors(tmp_path) == [] and len(_items(open_dataset(tmp_path))) == 5

    def test_soft_brushes_are_cut_at_the_middle(self, tmp_path: Path) -> None:
        tools.label_studio(tmp_path, 2)
        mask = np.zeros(FULL, np.uint8)
        mask[4:8, 4:8], mask[4, 4:8], mask[5, 4:8] = 255, 100, 200
        save(tmp_path / "masks/task-11-annotation-20-by-1-tag-car-0.png", mask)
        dataset = open_dataset(tmp_path)
        found = trees.mask_of(dataset, _item(dataset, "00000000-street0"))
        assert (found == dataset.labels.names.index("car")).sum() == 12


class TestLabelStudioJson:
    def _with(self, root: Path, *regions: dict[str, Any]) -> Path:
        """The JSON export, in which the first task has these regions."""
        tools.label_studio_json(root)
        export = next(root.glob("*.json"))
        _edit_json(export, lambda tasks: tasks[0]["annotations"][0].update(result=list(regions)))
        return root

    def _mask(self, root: Path) -> NDArray[np.uint8]:
        dataset = open_dataset(root)
        assert _errors(root) == []
        return trees.mask_of(dataset, _item(dataset, "00000000-street0"))

    def test_bitmasks_are_where_they_are_not_transparent(self, tmp_path: Path) -> None:
        pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        pixels[2:5, 3:9, 3] = 255
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        self._with(tmp_path, tools.label_studio_region("bitmask", "road", imageDataURL=address))
        assert np.array_equal(self._mask(tmp_path) != 0, pixels[..., 3] > 0)

    def test_of_annotations_without_numbers_the_last_counts(self, tmp_path: Path) -> None:
        first, last = (
            {"result": [tools.label_studio_region("polygon", label, points=[[10, 10], [60, 10], [60, 60]])]}
            for label in ("road", "sky")
        )
        tools.label_studio_json(tmp_path, 2)
        _edit_json(next(tmp_path.glob("*.json")), lambda tasks: tasks[0].update(annotations=[first, last]))
        dataset = open_dataset(tmp_path)
        found = trees.mask_of(dataset, _item(dataset, "00000000-street0"))
        assert {dataset.labels.names[i] for i in np.unique(found)} == {"background", "sky"}

    @pytest.mark.parametrize("number", [[1], {}, None, 1.5])
    def test_regions_whose_number_is_none_are_each_their_own(self, tmp_path: Path, number: object) -> None:
        regions = [
            {**tools.label_studio_region("polygon", "road", points=[[0, y], [40, y], [40, y + 40]]), "id": number}
            for y in (0, 50)
        ]
        self._with(tmp_path, *regions)
        found = self._mask(tmp_path) != 0
        assert found[: HEIGHT // 2].any() and found[HEIGHT // 2 :].any()

    @pytest.mark.parametrize("change", [{"annotations": 5}, {"annotations": [{"id": 1, "result": 5}]}])
    def test_annotations_and_results_that_are_no_lists_are_none(self, tmp_path: Path, change: dict[str, Any]) -> None:
        tools.label_studio_json(tmp_path)
        _edit_json(next(tmp_path.glob("*.json")), lambda tasks: tasks[0].update(change))
        found = [item.name for item in _items(open_dataset(tmp_path)) if item.mask is not None]
        assert len(found) == 5 - ("annotations" in change and change["annotations"] == 5)

    def test_a_value_that_is_refused_is_told_in_words(self, tmp_path: Path) -> None:
        """As labelme's and COCO's are: no reader knows Python's exceptions."""
        self._with(tmp_path, tools.label_studio_region("polygon", "road", points=[["x", 1], [2, 3], [4, 5]]))
        (told,) = [problem for problem in _errors(tmp_path) if "cannot be read" in problem]
        assert "has 1 region that cannot be read (could not convert string to float: 'x') in task 11" in told

    def test_ellipses(self, tmp_path: Path) -> None:
        """A turned one, against the formula at the pixels' centres."""
        x, y, a, b, degrees = 18.0, 12.0, 9.0, 4.0, 30.0
        ellipse = tools.label_studio_region(
            "ellipse", "road", x=100 * x / WIDTH, y=100 * y / HEIGHT, radiusX=100 * a / WIDTH, radiusY=100 * b / HEIGHT,
            rotation=degrees,
        )  # fmt: skip
        self._with(tmp_path, ellipse)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        along = (columns - x) * np.cos(np.radians(degrees)) + (rows - y) * np.sin(np.radians(degrees))
        across = (rows - y) * np.cos(np.radians(degrees)) - (columns - x) * np.sin(np.radians(degrees))
        expected = (along / a) ** 2 + (across / b) ** 2 <= 1
        assert np.count_nonzero((self._mask(tmp_path) != 0) != expected) <= 2

    def test_a_region_and_its_label_in_two_results(self, tmp_path: Path) -> None:
        """As <Brush> with <Labels> writes them."""
        painted = tools.label_studio_region(
            "brush", "car", format="rle", rle=tools.brush_code(tools.box_mask(tools.ROAD))
        )
        named = {**painted, "type": "labels", "value": {"labels": ["car"]}}
        del painted["value"]["brushlabels"]
        for order in ((painted, named), (named, painted)):
            self._with(tmp_path, *order)
            assert (self._mask(tmp_path) != 0).sum() == tools.box_mask(tools.ROAD).sum()

    def test_json_min(self, tmp_path: Path) -> None:
        export = next(tools.label_studio_json(tmp_path).glob("*.json"))
        tasks = json.loads(export.read_text())
        short = []
        for task in tasks:
            regions = [{**one["value"], **{k: one[k] for k in ("original_width", "original_height", "image_rotation")}}
                       for one in task["annotations"][0]["result"][:2]]  # fmt: skip
            about = {"annotator": 1, "annotation_id": task["annotations"][0]["id"], "weather": "rain"}
            short.append({"image": task["data"]["image"], "id": task["id"], "tag": regions, **about})
        export.write_text(json.dumps(short))
        dataset = open_dataset(tmp_path)
        assert len(_items(dataset)) == 5
        found = trees.mask_of(dataset, _items(dataset)[0])
        assert np.array_equal(found, np.array([0, 2, 1])[tools.scene()]), "background, car, road"

    def test_the_last_annotation_counts_and_cancelled_ones_do_not(self, tmp_path: Path) -> None:
        export = next(tools.label_studio_json(tmp_path).glob("*.json"))

        def change(tasks: Any) -> None:
            first = tasks[0]["annotations"][0]
            tasks[0]["annotations"] = [
                {**first, "id": 90, "result": first["result"][1:]},
                first,
                {**first, "id": 95, "result": [], "was_cancelled": True},
            ]

        _edit_json(export, change)
        dataset = open_dataset(tmp_path)
        assert "1 task annotated more than once, the last counts: 11" in dataset.notes
        mask = trees.mask_of(dataset, _item(dataset, "00000000-street0"))
        assert (mask != 0).sum() == tools.box_mask(tools.CAR).sum()

    def test_an_empty_annotation_is_background_and_told_and_none_is_left_out(self, tmp_path: Path) -> None:
        self._with(tmp_path)
        _edit_json(next(tmp_path.glob("*.json")), lambda tasks: tasks[1].update(annotations=[]))
        dataset = open_dataset(tmp_path)
        assert "1 picture has no region, and nothing but background: 00000000-street0.jpg" in dataset.notes
        assert [(p.kind, p.path.name) for p in dataset.problems] == [("no-mask", "00000001-street1.jpg")]

    @pytest.mark.parametrize(
        ("kind", "value", "message"),
        [
            ("rectangle", {"x": 1, "y": 1, "width": 5, "height": 5}, "1 rectangle in task 11; expected strokes"),
            ("polygon", {"points": [[1, 1], [2, 2]]}, "1 polygon of 2 points in task 11"),
            ("polygon", {"points": [[1, 1], 3]}, "1 region that cannot be read (TypeError"),
            ("keypoint", {"x": 1, "y": 1}, "1 region of type keypointlabels in task 11"),
            (
                "brush",
                {"format": "rle", "rle": [0, 256]},
                "1 region that cannot be read (bytes must be in range(0, 256)) in task 11",
            ),
            ("brush", {"format": "rle", "rle": [0, 1, 2]}, "holds a shape of 'a' that cannot be read (a brush code"),
            ("bitmask", {"imageDataURL": "data:image/png;base64,AAAA"}, "holds a shape of 'a' that cannot be read"),
        ],
    )
    def test_regions_that_are_no_masks_are_errors(
        self, tmp_path: Path, kind: str, value: dict[str, Any], message: str
    ) -> None:
        self._with(tmp_path, tools.label_studio_region(kind, "a", **value))
        (error,) = _errors(tmp_path)
        assert message in error

    def test_regions_of_turned_pictures_and_of_other_sizes(self, tmp_path: Path) -> None:
        region = tools.label_studio_region("brush", "a", rle=tools.brush_code(tools.box_mask(tools.ROAD)))
        self._with(tmp_path, {**region, "image_rotation": 90})
        assert "1 region of a turned picture in task 11" in _errors(tmp_path)[0]
        self._with(tmp_path, {**region, "original_width": 10**9, "original_height": 10**9})
        assert "holds a mask of 1000000000x1000000000; expected the size of its picture" in _errors(tmp_path)[0]

    def test_brush_pngs_of_a_task_count_before_its_json(self, tmp_path: Path) -> None:
        tools.label_studio_json(tmp_path)
        for i in range(4):
            whole = np.full(FULL, 255, np.uint8)
            save(tmp_path / f"task-{11 + i}-annotation-{20 + i}-by-1-tag-car-0.png", whole)
        dataset = open_dataset(tmp_path)
        car = dataset.labels.names.index("car")
        assert (trees.mask_of(dataset, _item(dataset, "00000000-street0")) == car).all()
        assert (trees.mask_of(dataset, _item(dataset, "00000004-street4")) != car).any()

    def test_a_damaged_export_is_told(self, tmp_path: Path) -> None:
        export = next(tools.label_studio_json(tmp_path).glob("*.json"))
        export.write_text(export.read_text()[:-20])
        with pytest.raises(DataError, match=r"0a1b2c3d\.json cannot be read .*expected Label Studio's JSON export"):
            open_dataset(tmp_path)


@pytest.mark.parametrize("build", [tools.cvat_coco, tools.labelme])
def test_a_size_that_is_made_up_takes_no_memory(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    root = build(tmp_path)
    for path in (*root.rglob("instances*.json"), *root.glob("street 1.json")):
        text = path.read_text().replace(f'"width":{WIDTH}', f'"width":{10**6}', 1)
        text = text.replace(f'"height":{HEIGHT}', f'"height":{10**6}', 1)
        text = text.replace(f'"imageHeight": {HEIGHT}', '"imageHeight": 1000000')
        path.write_text(text.replace(f'"imageWidth": {WIDTH}', '"imageWidth": 1000000'))
    (error,) = _errors(root)
    assert "has 1000000x1000000 pixels; expected the picture's size" in error


class TestOneFolder:
    def test_roboflow_names_the_values(self, tmp_path: Path) -> None:
        dataset = open_dataset(tools.roboflow(tmp_path))
        assert dataset.labels.names == tools.NAMES and "classes from _classes.csv" in dataset.notes
        assert {split: len(items) for split, items in dataset.splits.items()} == {"train": 4, "val": 2, "test": 1}

    def test_tables_that_differ(self, tmp_path: Path) -> None:
        (tools.roboflow(tmp_path) / "valid/_classes.csv").write_text("Pixel Value, Class\n0, road\n1, background\n")
        with pytest.raises(DataError, match=r"train/_classes\.csv and valid/_classes\.csv .* are not the same"):
            open_dataset(tmp_path)

    def test_an_ending_is_told(self, tmp_path: Path) -> None:
        assert "names differ: the picture NAME has the mask NAME_mask" in open_dataset(tools.beside(tmp_path)).notes

    def test_pictures_alone_are_no_data_set(self, tmp_path: Path) -> None:
        for i in range(4):
            save(tmp_path / f"{i}.jpg", picture(i))
        assert recognise(tmp_path) is None


def box_of_white() -> NDArray[np.uint8]:
    """A binary mask, uint8 (H, W): white in the lower half."""
    mask = np.zeros(FULL, np.uint8)
    mask[HEIGHT // 2 :] = 255
    return mask


class TestBinaryMasks:
    def test_a_mask_of_three_values(self, tmp_path: Path) -> None:
        mask = ids(0, (0, 100, 255))
        save(tools.binary_masks(tmp_path) / "masks/road/1.png", mask)
        (error,) = _errors(tmp_path)
        assert error.startswith("masks/road/1.png holds") and "0 and one other value" in error

    def test_greys_of_a_soft_border_are_cut_at_the_middle(self, tmp_path: Path) -> None:
        mask = box_of_white()
        mask[0, :4] = (1, 127, 128, 254)
        save(tools.binary_masks(tmp_path) / "masks/road/1.png", mask)
        dataset = open_dataset(tmp_path, val_fraction=0.2)
        (item,) = (item for items in dataset.splits.values() for item in items if item.name == "1")
        assert item.mask is not None
        road = dataset.read_mask(item.mask) == dataset.labels.id_of("road")
        assert road[0, :4].tolist() == [False, False, True, True]

    def test_words_are_those_of_the_layout(self, tmp_path: Path) -> None:
        notes = " ".join(open_dataset(tools.binary_masks(tmp_path)).notes)
        assert "classes from the names of the folders of masks" in notes and "what no mask covers" in notes
        assert "shape" not in notes and "labels" not in notes
        assert examine(tmp_path).to_json()["splits"]["train"]["mask_modes"] == {"one for each class": 4}

    def test_a_mask_of_another_size(self, tmp_path: Path) -> None:
        save(tools.binary_masks(tmp_path) / "masks/car/1.png", ids(0, (0, 1), (40, 30)))
        (error,) = _errors(tmp_path)
        assert error.startswith("masks/car/1.png is 40x30; expected the size of its picture 1.jpg")

    def test_a_picture_without_any(self, tmp_path: Path) -> None:
        root = tools.binary_masks(tmp_path)
        for name in ("road", "car"):
            (root / "masks" / name / "0.png").unlink()
        assert _problems(root) == ["images/0.jpg has no mask and is left out"]

    def test_a_mask_without_picture(self, tmp_path: Path) -> None:
        save(tools.binary_masks(tmp_path) / "masks/car/99.png", ids(0, (0, 1)))
        (error,) = _errors(tmp_path)
        assert error.startswith("masks/car/99.png has no picture")


class TestOwnClassesInTheLayoutOfABenchmark:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("classes.yaml", "[background, road, car]"),
            ("labelmap.txt", "background:::\nroad:::\ncar:::\n"),
            ("class_names.txt", "__ignore__\n_background_\nroad\ncar\n"),
            ("label_colors.txt", "0 0 0 background\n128 0 0 road\n0 128 0\tcar\n"),
            ("class_dict.csv", "name,r,g,b\nbackground,0,0,0\nroad,128,0,0\ncar,0,128,0\n"),
            ("_classes.csv", "Pixel Value, Class\n0, background\n1, road\n2, car\n"),
        ],
    )
    @pytest.mark.parametrize("build", [tools.camvid_unnamed, tools.voc_own])
    def test_a_file_of_classes_in_the_root_wins(
        self, tmp_path: Path, build: Callable[[Path], Path], name: str, text: str
    ) -> None:
        (build(tmp_path) / name).write_text(text)
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == ("background", "road", "car") and f"classes from {name}" in dataset.notes
        assert _errors(tmp_path) == []

    def test_what_a_person_wrote_counts_more_than_what_a_tool_left(self, tmp_path: Path) -> None:
        (tools.cvat(tmp_path) / "classes.yaml").write_text(
            "[{name: nothing, colour: [0, 0, 0]}, {name: street, colour: [[128, 0, 0], [0, 128, 0]]}]"
        )
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == ("nothing", "street") and _errors(tmp_path) == []
        assert set(np.unique(trees.mask_of(dataset, _items(dataset)[0]))) == {0, 1}

    @pytest.mark.parametrize(
        ("build", "benchmark", "count"), [(tools.camvid_unnamed, "camvid", 11), (tools.voc_own, "voc", 21)]
    )
    def test_foreign_names_are_not_assumed(
        self, tmp_path: Path, build: Callable[[Path], Path], benchmark: str, count: int
    ) -> None:
        dataset = open_dataset(build(tmp_path))
        assert dataset.labels.names == ("class 0", "class 1", "class 2")
        assert any("but not its classes" in note for note in dataset.notes)
        if benchmark == "camvid":
            assert open_dataset(tmp_path, format=benchmark).labels.num_classes == count

    def test_a_classes_file_merges_labelids_of_cityscapes(self, tmp_path: Path) -> None:
        trees.cityscapes_train_ids(tmp_path)
        rest = [value for value in range(34) if value not in (7, 8, 26)]
        text = f"[{{name: ground, value: [7, 8]}}, {{name: car, value: 26}}, {{name: x, value: {rest}, void: true}}]"
        (tmp_path / "classes.yaml").write_text(text)
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == ("ground", "car") and _errors(tmp_path) == []
        item = dataset.split("train")[0]
        assert isinstance(item.mask, Path) and item.mask.name.endswith("labelIds.png")

    def test_kitti_says_that_it_reads_no_classes(self, tmp_path: Path) -> None:
        (trees.kitti_road(tmp_path) / "classes.yaml").write_text("[a, b]")
        assert any("classes.yaml is not read" in note for note in open_dataset(tmp_path).notes)


class TestMergingAndDropping:
    def test_values(self, tmp_path: Path) -> None:
        tools.image_label(tmp_path)
        (tmp_path / "classes.yaml").write_text("[{name: rest, value: [0, 2]}, {name: road, value: 1}]")
        dataset = open_dataset(tmp_path)
        item = _items(dataset)[0]
        raw = np.asarray(Image.open(str(item.mask)))
        assert np.array_equal(trees.mask_of(dataset, item), np.select([raw == 1, raw == 255], [1, 255], 0))
        assert any("classes.yaml merges into one class each: rest (0, 2)" in note for note in dataset.notes)

    @pytest.mark.parametrize(
        "text",
        [
            "[rest, road, rest]",
            "{0: rest, 1: road, 2: rest}",
            "[{name: rest, value: 0}, {name: road, value: 1}, {name: rest, value: 2}]",
        ],
    )
    def test_a_name_twice(self, tmp_path: Path, text: str) -> None:
        (tools.image_label(tmp_path) / "classes.yaml").write_text(text)
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == ("rest", "road") and _errors(tmp_path) == []

    def test_void(self, tmp_path: Path) -> None:
        text = "[{name: background, value: 0}, {name: road, value: 1}, {name: car, value: 2, void: true}]"
        (tools.image_label(tmp_path) / "classes.yaml").write_text(text)
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == ("background", "road") and _errors(tmp_path) == []

    def test_negative_void_in_integer_tiffs(self, tmp_path: Path) -> None:
        for i in range(5):
            save(tmp_path / "images" / f"{i}.png", picture(i))
            numbers = ids(i, (0, 1)).astype(np.int32)
            numbers[:4, :4] = -9999
            save(tmp_path / "masks" / f"{i}.tif", numbers)
        text = "[{name: ground, value: 0}, {name: water, value: 1}, {name: no data, value: [-9999, -1], void: true}]"
        (tmp_path / "classes.yaml").write_text(text)
        dataset = open_dataset(tmp_path)
        mask = trees.mask_of(dataset, _items(dataset)[0])
        assert (mask == 255).sum() == 16 and _errors(tmp_path) == []

    def test_categories_by_number_or_by_name(self, tmp_path: Path) -> None:
        tools.cvat_coco(tmp_path)
        for text in (
            "[{name: background, value: 0}, {name: thing, value: [1, 2]}]",
            "[{name: background, value: background}, {name: thing, value: [road, car]}]",
        ):
            (tmp_path / "classes.yaml").write_text(text)
            dataset = open_dataset(tmp_path)
            assert dataset.labels.names == ("background", "thing") and _errors(tmp_path) == []
            expected = np.minimum(tools.scene(), 1)
            assert all(np.array_equal(trees.mask_of(dataset, item), expected) for item in _items(dataset))

    def test_a_list_without_background_makes_the_rest_void(self, tmp_path: Path) -> None:
        (tools.labelme_splits(tmp_path) / "classes.yaml").write_text("[road, {name: car, void: true}]")
        dataset = open_dataset(tmp_path)
        expected = np.where(tools.scene() == 1, 0, IGNORE_INDEX)
        assert all(np.array_equal(trees.mask_of(dataset, item), expected) for item in _items(dataset))
        assert "what no shape covers is void: classes.yaml lists no background" in dataset.notes

    def test_a_label_that_is_not_listed_is_an_error(self, tmp_path: Path) -> None:
        (tools.labelme_splits(tmp_path) / "classes.yaml").write_text("[background, road]")
        errors = _errors(tmp_path)
        assert len(errors) == 6 and "holds the label 'car' (0.png); expected one of road" in errors[0]
        assert "add it to classes.yaml" in errors[0]

    def test_a_name_as_class_and_as_void(self, tmp_path: Path) -> None:
        text = "[{name: road, value: 0}, {name: road, value: 1, void: true}]"
        (tools.image_label(tmp_path) / "classes.yaml").write_text(text)
        with pytest.raises(DataError, match="lists 'road' as a class and as void"):
            open_dataset(tmp_path)


def _move_a_corner(root: Path) -> None:
    """A change in the middle of a large file, of the same length."""
    path = root / "annotations/instances_default.json"
    text = path.read_text()
    assert "10.0,12.0" in text
    at = text.index("10.0,12.0")
    path.write_text(text[:at] + "11.0,12.0" + text[at + 9 :])


def _change_labelme(root: Path) -> None:
    path = root / "train/json/0.json"
    path.write_text(path.read_text().replace("10.0", "11.0", 1))


def _change_binary(root: Path) -> None:
    save(root / "masks/car/0.png", tools.box_mask((0, 0, 2, 2)).astype(np.uint8))


@pytest.mark.parametrize(
    ("build", "change"),
    [
        (lambda root: tools.cvat_coco(root, 60), _move_a_corner),
        (tools.labelme_splits, _change_labelme),
        (tools.yolo, lambda root: (root / "labels/val/001.txt").write_text(tools.yolo_lines((1, 0)))),
        (tools.binary_masks, _change_binary),
    ],
)
def test_the_fingerprint_sees_a_change_of_the_annotation(
    tmp_path: Path, build: Callable[[Path], Path], change: Callable[[Path], object]
) -> None:
    before = open_dataset(build(tmp_path))
    known = fingerprint(before)
    assert known == fingerprint(open_dataset(tmp_path))
    change(tmp_path)
    after = open_dataset(tmp_path)
    assert known != fingerprint(after)
    changed = [one.mask != other.mask for one, other in zip(_items(before), _items(after), strict=True)]
    if not any(isinstance(item.mask, Annotation) and item.mask.files for item in _items(after)):
        assert sum(changed) == 1, "and only that of the changed picture"


def test_a_broken_data_yaml_does_not_hide_a_folder(tmp_path: Path) -> None:
    (tools.image_label(tmp_path) / "data.yaml").write_text("names: [\ntrain: x")
    assert recognise(tmp_path) == "folder"
