"""KITTI road with a network: which class is the road, which category a picture is of, and the view from above."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from atonce.data import open_dataset
from atonce.errors import DataError, WeightsError
from atonce.evaluation.kitti_scores import RoadMetric, RoadSegmenter, camera_file_of, read_ground_truth_rgb, road_class
from atonce.evaluation.scoring import score_items
from atonce.labels import CAMVID, KITTI_ROAD, LabelSpec
from atonce.metrics.kitti_road.birds_eye import BirdsEye
from atonce.metrics.kitti_road.road_evaluator import THRESHOLDS, RoadEvaluator, confidence_bytes
from tests.data.road_trees import data_road
from tests.evaluation.predictors import Colours, Memory

NAMES = ("um_000000", "um_000001", "um_000002", "umm_000000", "umm_000001", "uu_000000", "uu_000001")


@pytest.fixture
def data(tmp_path):
    return data_road(tmp_path / "data_road", "training", NAMES, ("road",))


def everything(dataset):
    return (*dataset.splits["train"], *dataset.splits["val"])


def measured(data, from_above=False, items=None, ground_truth="road", labels=KITTI_ROAD):
    dataset = open_dataset(data, ground_truth=ground_truth)
    items = everything(dataset) if items is None else items
    measure = RoadMetric(items, ground_truth, from_above=from_above)
    return score_items(RoadSegmenter(Colours(labels)), dataset, items, metrics=[measure]), measure


def test_road_is_found_by_its_name():
    assert road_class(KITTI_ROAD) == 1
    assert road_class(CAMVID) == 3
    with pytest.raises(WeightsError, match=r"cat, dog, 0 of them named road; expected one class named road"):
        road_class(LabelSpec.from_names(["cat", "dog"]))
    with pytest.raises(WeightsError, match="2 of them"):
        road_class(LabelSpec.from_names(["road", "Road"]))
    with pytest.raises(WeightsError, match="nothing else"):
        RoadSegmenter(Colours(LabelSpec.from_names(["road"])))


@given(st.integers(2, 12), st.data())
@settings(max_examples=30, deadline=None)
def test_the_probability_of_road_is_that_among_all_classes(classes, data):
    road = data.draw(st.integers(0, classes - 1))
    names = ["road" if i == road else f"c{i}" for i in range(classes)]
    logits = np.random.default_rng(classes).normal(0, 8, (classes, 5, 4)).astype(np.float32)
    mask = np.zeros((5, 4), np.uint8)
    result = RoadSegmenter(Memory([mask], [logits], names))(np.zeros((5, 4, 3), np.uint8))
    expected = torch.from_numpy(logits).softmax(0)[road].numpy()
    np.testing.assert_allclose(result.probabilities[1], expected, atol=1e-6)
    assert result.label_spec == KITTI_ROAD


def test_of_two_classes_the_probability_of_road_is_the_networks_own_to_the_bit():
    logits = np.random.default_rng(0).normal(0, 8, (2, 5, 4)).astype(np.float32)
    memory = Memory([np.zeros((5, 4), np.uint8)], [logits], ["other", "road"])
    result = RoadSegmenter(memory)(np.zeros((5, 4, 3), np.uint8))
    assert (result.probabilities[1] == torch.from_numpy(logits).softmax(0)[1].numpy()).all()


@pytest.mark.parametrize("labels", [KITTI_ROAD, CAMVID])
@pytest.mark.parametrize("from_above", [False, True])
def test_categories_are_scored_by_themselves_and_pooled(data, labels, from_above):
    evaluation, _ = measured(data, from_above, labels=labels)
    found = evaluation.to_json()
    segment, pooled = RoadSegmenter(Colours(labels)), RoadEvaluator()
    own: dict[str, RoadEvaluator] = {}
    for name in NAMES:
        image = np.asarray(Image.open(data / f"training/image_2/{name}.png"))
        truth = np.asarray(Image.open(data / f"training/gt_image_2/{name.replace('_', '_road_')}.png"))
        chance = segment(image).probabilities[1]
        if from_above:
            view = BirdsEye.from_calibration(data / f"training/calib/{name}.txt")
            chance, truth = view(chance), view(truth)
        for evaluator in (own.setdefault(name.split("_")[0] + "_road", RoadEvaluator()), pooled):
            evaluator.add(chance, truth)
    assert found["road"]["view"] == ("above" if from_above else "picture")
    assert list(found["road"]["categories"]) == ["um_road", "umm_road", "uu_road"]
    for name, row in found["road"]["categories"].items():
        assert row.items() >= own[name].scores().to_json().items()
    assert found["road"]["pooled"].items() >= pooled.scores().to_json().items()
    assert [row["pictures"] for row in found["road"]["categories"].values()] == [3, 2, 2]
    assert found["road"]["pooled"]["pictures"] == 7
    curve = found["road"]["pooled"]["curve"]
    assert len(curve["recall"]) == len(curve["precision"]) == 256
    assert {row["category"] for row in found["pictures"]} == {"um_road", "umm_road", "uu_road"}
    assert all(0 < row["max_f"] <= 1 and 0 < row["average_precision"] <= 1 for row in found["pictures"])
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("from_above", [False, True])
def test_what_is_drawn_as_road_is_scored_too_in_the_picture(data, from_above):
    """Recall and false positive rate where road is more likely than not: what a class exercise grades."""
    evaluation, _ = measured(data, from_above)
    found, segment = evaluation.to_json()["road"]["as_drawn"], RoadSegmenter(Colours(KITTI_ROAD))
    counts = np.zeros((2, 2), np.int64)
    for name in NAMES:
        truth = np.asarray(Image.open(data / f"training/gt_image_2/{name.replace('_', '_road_')}.png"))
        drawn = segment(np.asarray(Image.open(data / f"training/image_2/{name}.png"))).labels == 1
        valid, road = truth[..., 0] > 0, truth[..., 2] > 0
        for i, side in enumerate((valid & ~road, valid & road)):
            counts[i] += np.count_nonzero(drawn[side]), np.count_nonzero(side)
    assert 0 < counts[0, 0] < counts[0, 1] and 0 < counts[1, 0] < counts[1, 1]
    assert found == pytest.approx({"recall": counts[1, 0] / counts[1, 1], "fpr": counts[0, 0] / counts[0, 1]})


def test_without_a_pixel_of_road_its_recall_is_not_defined(tmp_path):
    data = data_road(tmp_path / "data_road", "training", NAMES[:2], ("road",))
    for path in (data / "training/gt_image_2").iterdir():
        pixels = np.asarray(Image.open(path)).copy()
        pixels[..., 2] = 0
        Image.fromarray(pixels).save(path)
    found = measured(data)[0].to_json()["road"]["as_drawn"]
    assert found["recall"] is None and 0 <= found["fpr"] <= 1


def test_the_order_of_pictures_never_matters(data):
    first, _ = measured(data)
    items = everything(open_dataset(data))
    second, _ = measured(data, items=items[::-1])
    assert first.to_json()["road"] == second.to_json()["road"]


def test_lanes_are_a_category_of_their_own(tmp_path):
    data = data_road(tmp_path, "training", ("um_000000", "um_000001"), ("lane", "road"))
    evaluation, measure = measured(data, ground_truth="lane")
    assert list(measure.categories) == ["um_lane"]
    assert evaluation.to_json()["road"]["ground_truth"] == "lane"


def test_a_picture_without_calibration_is_named_before_anything_is_predicted(data):
    for name in ("um_000001", "uu_000000"):
        (data / f"training/calib/{name}.txt").unlink()
    with pytest.raises(DataError, match=r"2 of 7 .*um_000001, uu_000000; expected .*calib/um_000001.txt.*with `only`"):
        measured(data, from_above=True)
    measured(data)
    (data / "training/calib/um_000001.txt").write_text("P2: 1\n")
    (data / "training/calib/uu_000000.txt").write_text("P2: 1\n")
    with pytest.raises(DataError, match="no R0_rect"):
        measured(data, from_above=True)


def test_ground_truth_is_read_as_it_is(data):
    path = data / "training/gt_image_2/um_road_000000.png"
    raw = np.asarray(Image.open(path))
    assert (raw[..., 2] > 0)[raw[..., 0] == 0].any(), "the tree has road colour where nothing is valid"
    assert (read_ground_truth_rgb(path) == raw).all()
    Image.fromarray(raw).convert("RGBA").save(path)
    assert (read_ground_truth_rgb(path) == raw).all()
    Image.fromarray(raw).quantize(8).save(path)
    assert (read_ground_truth_rgb(path) == raw).all()
    assert camera_file_of(data / "training/image_2/um_000000.png") == data / "training/calib/um_000000.txt"


floats = st.one_of(
    st.floats(0, 1, width=32),
    st.integers(0, 255).flatmap(lambda k: st.sampled_from([float(THRESHOLDS[k]), np.nextafter(THRESHOLDS[k], 0)])),
)


@given(st.lists(floats, min_size=1, max_size=30), st.sampled_from([np.float32, np.float64]))
def test_bytes_reach_the_same_thresholds_as_the_probabilities(values, dtype):
    chance = np.clip(np.array(values, dtype), 0, 1)
    found = confidence_bytes(chance)
    assert found.dtype == np.uint8
    assert ((found[:, None] >= np.arange(256)) == (chance.astype(np.float64)[:, None] >= THRESHOLDS)).all()


def test_bytes_of_what_is_no_probability_are_refused():
    for wrong in (np.array([1.5]), np.array([np.nan]), np.array([1, 2])):
        with pytest.raises(ValueError, match="expected"):
            confidence_bytes(wrong)
