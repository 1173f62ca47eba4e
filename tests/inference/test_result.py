"""What a program gets out of a result: masks, areas, polygons, cut-outs, colours, files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from atonce.errors import UserError
from atonce.inference.annotations import UNKNOWN_CONFIDENCE
from atonce.inference.result import LABEL_STYLES, Result, read_labels
from atonce.labels import KITTI_ROAD, LabelSpec
from atonce.polygons import Polygon, fill_polygons

SPEC = LabelSpec(("background", "road", "car"), ((70, 70, 70), (128, 64, 128), (0, 0, 142)))


def result_of(labels: np.ndarray, spec: LabelSpec = SPEC, **about: Any) -> Result:
    """Probabilities 0.7 for the label and the rest shared by the others."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*labels.shape, 3), dtype=np.uint8)
    others = 0.3 / (spec.num_classes - 1)
    probabilities = np.where(labels[None] == np.arange(spec.num_classes)[:, None, None], 0.7, others)
    return Result(image, spec, logits=torch.from_numpy(np.log(probabilities).astype(np.float32)), **about)


def scene() -> np.ndarray:
    labels = np.zeros((60, 80), np.uint8)
    labels[30:, 5:75] = 1
    labels[40:50, 20:40] = 2
    labels[42:46, 22:30] = 1  # a window onto the road in a hole of the road
    labels[3:5, 3:9] = 2
    return labels


@pytest.fixture
def result() -> Result:
    return result_of(scene(), source="pics/street.png")


def test_a_mask_is_where_the_class_is_or_where_it_is_probable_enough(result: Result) -> None:
    np.testing.assert_array_equal(result.mask("road"), scene() == 1)
    np.testing.assert_array_equal(result.mask("Road"), scene() == 1)
    assert result.mask("road").dtype == bool
    np.testing.assert_array_equal(result.mask("road", threshold=0.1), np.ones((60, 80), bool))
    np.testing.assert_array_equal(result.mask("road", threshold=0.6), scene() == 1)
    assert not result.mask("road", threshold=0.8).any()
    with pytest.raises(
        UserError, match=r"there is no class 'raod'; expected one of background, road, car; did you mean 'road'"
    ):
        result.mask("raod")


def test_areas_are_pixels_and_shares_of_every_class(result: Result) -> None:
    assert list(result.areas) == ["background", "road", "car"]
    assert result.areas["car"] == (180, 180 / 4800)
    assert result.areas["car"].pixels == 180
    assert sum(area.share for area in result.areas.values()) == pytest.approx(1)
    assert result_of(np.zeros((4, 5), np.uint8)).areas["car"] == (0, 0.0)


def test_confidence_is_the_probability_of_the_label(result: Result) -> None:
    np.testing.assert_allclose(result.confidence, 0.7, atol=1e-6)
    assert (result.confidence.shape, result.confidence.dtype) == ((60, 80), np.float32)
    np.testing.assert_allclose(result.probability("car")[44, 35], 0.7, atol=1e-6)
    only = result.select("car")
    np.testing.assert_allclose(
        only.confidence[~result.mask("car")], result.probability("background")[~result.mask("car")]
    )


def test_filling_the_polygons_of_a_class_gives_back_its_mask(result: Result) -> None:
    regions = result.polygons()
    assert [(region.name, region.class_id) for region in regions] == [("road", 1)] * 2 + [("car", 2)] * 2
    for name in ("road", "car"):
        mine = [region for region in regions if region.name == name]
        np.testing.assert_array_equal(fill_polygons(mine, 60, 80), result.mask(name))
        assert sum(region.area for region in mine) == result.areas[name].pixels
    assert [len(region.holes) for region in regions] == [1, 0, 0, 1]
    assert all(isinstance(region, Polygon) for region in regions)


def test_polygons_are_of_the_classes_asked_for_and_background_only_when_asked_for(result: Result) -> None:
    assert {region.name for region in result.polygons(only=["car"])} == {"car"}
    assert {region.name for region in result.polygons(only=["background"])} == {"background"}
    assert len(result.polygons(min_area=20)) == 3
    assert sum(len(region.exterior) for region in result.polygons(simplify=2)) <= 20


def test_crop_is_the_picture_of_a_class_and_nothing_else(result: Result) -> None:
    crop = result.crop("road")
    assert (crop.mode, crop.size) == ("RGBA", (70, 30))
    pixels = np.asarray(crop)
    np.testing.assert_array_equal(pixels[..., 3] == 255, result.mask("road")[30:, 5:75])
    np.testing.assert_array_equal(pixels[..., :3], result.image[30:, 5:75])
    assert result.crop("road", margin=10).size == (80, 40)
    with pytest.raises(UserError, match="there is no car in this picture"):
        result_of(np.zeros((4, 5), np.uint8)).crop("car")


def test_select_leaves_the_class_alone(result: Result) -> None:
    assert set(np.unique(result.select("car").labels)) == {0, 2}, "the rest is background"
    two = result_of(scene() % 2, LabelSpec.from_names(["land", "road"]))
    assert set(np.unique(two.select("road").labels)) == {0, 1}, "the other one of two"
    three = result_of(scene(), LabelSpec.from_names(["sky", "road", "car"]))
    assert set(np.unique(three.select("road", "car").labels)) == {1, 2, 255}, "void"
    assert (result.select("car", threshold=0.1).labels == 2).all()
    assert (result.select("car", threshold=0.9).labels == 0).all()
    for names, threshold, message in (
        (("car", "road"), 0.5, r"threshold='0\.5' with 2 classes; expected one class"),
        (("car",), 1.5, r"threshold='1\.5'; expected a probability, 0 to 1"),
        ((), None, "no class to be selected"),
    ):
        with pytest.raises(UserError, match=message):
            result.select(*names, threshold=threshold)


def test_background_is_left_as_it_is_by_overlays(result: Result) -> None:
    painted = np.asarray(result.overlay())
    np.testing.assert_array_equal(painted[scene() == 0], result.image[scene() == 0])
    expected = np.rint(result.image * 0.5 + np.array(SPEC.palette)[scene()] * 0.5)
    np.testing.assert_array_equal(painted[scene() > 0], expected[scene() > 0])


def test_only_road_in_green_and_the_rest_of_the_picture_untouched(result: Result) -> None:
    painted = np.asarray(result.overlay(1, only=["road"], colours={"road": "#00ff00"}))
    assert (painted[scene() == 1] == (0, 255, 0)).all()
    np.testing.assert_array_equal(painted[scene() != 1], result.image[scene() != 1])
    assert (np.asarray(result.overlay(1, only=["background"]))[scene() == 0] == 70).all(), "painted where asked for"


@pytest.mark.parametrize("green", ["#00ff00", "#0f0", "lime", "0,255,0", "rgb(0, 255, 0)", (0, 255, 0), [0, 255, 0]])
def test_colours_may_be_written_in_many_ways(result: Result, green: Any) -> None:
    assert (np.asarray(result.overlay(1, colours={"ROAD": green}))[scene() == 1] == (0, 255, 0)).all()


@pytest.mark.parametrize("wrong", ["#00ff0", "greenish", (0, 255), (0, 255, 256), 7, "0,255"])
def test_what_is_no_colour_is_refused(result: Result, wrong: Any) -> None:
    with pytest.raises(UserError, match=r"the colour .*; expected '#00ff00'"):
        result.overlay(colours={"road": wrong})
    with pytest.raises(UserError, match="there is no class 'rod'"):
        result.overlay(colours={"rod": "lime"})


def test_black_is_painted_where_it_is_asked_for() -> None:
    spec = LabelSpec(("land", "water"), ((0, 200, 0), (0, 0, 0)))
    result = result_of(scene() % 2, spec)
    np.testing.assert_array_equal(np.asarray(result.overlay(1))[scene() % 2 == 1], result.image[scene() % 2 == 1])
    for painted in (result.overlay(1, only=["water"]), result.overlay(1, colours={"water": (0, 0, 0)})):
        assert (np.asarray(painted)[scene() % 2 == 1] == 0).all()


@pytest.mark.parametrize("options", [{}, {"only": ["car"]}, {"colours": {"road": "lime"}}])
def test_the_layer_over_the_picture_is_the_overlay(result: Result, options: dict) -> None:
    layer = result.overlay_layer(**options)
    assert layer.mode == "RGBA"
    below = Image.fromarray(result.image)
    below.paste(layer, mask=layer)
    np.testing.assert_array_equal(np.asarray(below), np.asarray(result.overlay(1, **options)))


VALUES = {
    "binary": (LabelSpec(("background", "road"), ((0, 0, 0), (9, 9, 9)), (0, 255)), [0, 255], "L"),
    "0, 50, 150": (LabelSpec(SPEC.names, SPEC.palette, (0, 50, 150), 200), [0, 50, 150], "L"),
    "16 bit": (LabelSpec(SPEC.names, SPEC.palette, (0, 7, 1000)), [0, 7, 1000], "I;16"),
}


@pytest.mark.parametrize(("spec", "values", "mode"), VALUES.values(), ids=VALUES)
def test_label_pictures_hold_the_values_of_the_users_masks(
    tmp_path: Path, spec: LabelSpec, values: list[int], mode: str
) -> None:
    labels = np.minimum(scene(), spec.num_classes - 1)
    result_of(labels, spec).label_image("values").save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == mode
        np.testing.assert_array_equal(np.asarray(picture), np.array(values)[labels])
        np.testing.assert_array_equal(read_labels(picture, spec, "values"), labels)


def test_label_pictures_in_every_style(result: Result) -> None:
    grey, palette, colours = (result.label_image(style) for style in ("grey", "palette", "colours"))
    assert (grey.mode, palette.mode, colours.mode) == ("L", "P", "RGB")
    np.testing.assert_array_equal(np.asarray(grey), scene())
    np.testing.assert_array_equal(np.asarray(palette), scene())
    np.testing.assert_array_equal(np.asarray(colours), np.array(SPEC.palette)[scene()])
    with pytest.raises(
        UserError, match=r"labels='gray'; expected one of palette, grey, values, colours; did you mean 'grey'"
    ):
        result.label_image(cast("Any", "gray"))


@pytest.mark.parametrize("style", LABEL_STYLES)
def test_label_pictures_are_read_back_with_void(style: Any) -> None:
    spec = LabelSpec(("sky", "road", "car"), SPEC.palette, (10, 20, 30), 99)
    result = result_of(scene(), spec).select("road")
    picture = result.label_image(style)
    np.testing.assert_array_equal(read_labels(picture, spec, style), np.where(scene() == 1, 1, 255))
    if style == "values":
        assert set(np.unique(np.asarray(picture))) == {20, 99}


def test_values_that_nobody_has_written_down_are_not_made_up(result: Result) -> None:
    with pytest.raises(UserError, match="does not say which values its masks had"):
        result.label_image("values")


def test_two_classes_of_one_colour_are_no_picture_of_colours() -> None:
    spec = LabelSpec(("road", "lane"), ((1, 2, 3), (1, 2, 3)))
    with pytest.raises(UserError, match=r"road and lane have the same colour \(1, 2, 3\)"):
        result_of(scene() % 2, spec).label_image("colours")


def test_to_dict_holds_areas_and_polygons_and_is_json(result: Result) -> None:
    data = json.loads(result.to_json())
    assert data == result.to_dict()
    assert (data["picture"], data["width"], data["height"]) == ("pics/street.png", 80, 60)
    assert data["classes"][2] == {
        "id": 2, "name": "car", "colour": [0, 0, 142], "pixels": 180, "share": 0.0375, "confidence": 0.7
    }  # fmt: skip
    assert [polygon["name"] for polygon in data["polygons"]] == ["road", "road", "car", "car"]
    hole = result.to_dict(simplify=0)["polygons"][0]
    assert (hole["area"], hole["bbox"], len(hole["holes"])) == (1900, [5, 30, 70, 30], 1)
    labels_only = Result(result.image, SPEC, labels=scene())
    assert [entry["confidence"] for entry in labels_only.to_dict()["classes"]] == [None] * 3
    assert labels_only.to_dict()["notes"] == [UNKNOWN_CONFIDENCE]
    assert data["notes"] == []


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


SUFFIXES = {
    ".png": lambda path, result: (opened(path) == scene()).all(),
    ".jpg": lambda path, result: opened(path).shape == (60, 80, 3),
    ".webp": lambda path, result: opened(path).shape == (60, 80, 3),
    ".json": lambda path, result: json.loads(path.read_text()) == result.to_dict(),
    ".npy": lambda path, result: (np.load(path) == scene()).all(),
    ".npz": lambda path, result: (np.load(path)["probabilities"] == result.probabilities).all(),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_save_writes_what_the_suffix_says(result: Result, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"street{suffix}"
    result.save(path)
    assert SUFFIXES[suffix](path, result)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_another_suffix_is_refused(result: Result, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"street\.gif as a file for a result; expected one that ends in \.png"):
        result.save(tmp_path / "street.gif")


def test_a_result_shows_itself(result: Result) -> None:
    assert repr(result) == "<Result 80x60: background 56.0 %, road 40.2 %, car 3.8 %>"
    with Image.open(io.BytesIO(result._repr_png_())) as picture:
        assert (picture.format, picture.size) == ("PNG", (80, 60))
    noted = result_of(scene(), notes=("80x60 pixels are much smaller",))
    assert repr(noted).endswith("; 80x60 pixels are much smaller>")


def test_huge_pictures_have_all_but_probabilities() -> None:
    result = Result(result_of(scene()).image, KITTI_ROAD, labels=scene() % 2)
    assert len(result.polygons()) > 0
    assert result.areas["road"].pixels == (scene() == 1).sum()
    with pytest.raises(UserError, match="there are labels but no probabilities"):
        _ = result.confidence
