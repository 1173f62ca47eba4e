"""A whole evaluation with a network that answers from memory: what must never matter, and what others compute."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as peer
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from atonce.data.dataset import Item, Sample
from atonce.errors import DataError, WeightsError
from atonce.evaluation.extra_metrics import BoundaryF1Metric, CalibrationErrorMetric, default_metrics
from atonce.evaluation.scoring import score_items
from atonce.labels import LabelSpec
from tests.evaluation.predictors import Memory

CLASSES = 3


@st.composite
def memories(draw, least_valid=0):
    """One to four pictures of blobs and void, and logits that are often right; no two logits of a pixel are equal."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks, logits = [], []
    for _ in range(draw(st.integers(1, 4))):
        height, width = draw(st.integers(2, 14)), draw(st.integers(2, 14))
        blobs = rng.integers(0, CLASSES + 1, (height // 3 + 1, width // 3 + 1)).repeat(3, 0).repeat(3, 1)
        mask = np.where(blobs == CLASSES, 255, blobs)[:height, :width].astype(np.uint8)
        mask.flat[:least_valid] = 0
        hint = 2.0 * (mask == np.arange(CLASSES)[:, None, None])
        masks.append(mask)
        logits.append((rng.normal(0, 1.5, (CLASSES, height, width)) + hint).astype(np.float32))
    return Memory(masks, logits)


def scores(memory, items=None):
    measures = default_metrics(memory.labels, tolerance=1.5)
    return score_items(memory, memory.dataset, items or memory.items, metrics=measures).to_json()


def assume_no_confidence_on_an_edge(memory):
    """One rounding more or less would put such a pixel into another bin of the calibration error."""
    for logits in memory.logits:
        positions = torch.from_numpy(logits).softmax(0).amax(0) * 15
        assume(bool(((positions - positions.round()).abs() > 1e-4).all()))


def near(value):
    """Equal up to the rounding of a softmax; None, counts and names exactly."""
    if isinstance(value, dict):
        return {key: near(one) for key, one in value.items()}
    if isinstance(value, list):
        return [near(one) for one in value]
    return pytest.approx(value, abs=1e-6) if isinstance(value, float) else value


@given(memories(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_pictures_never_matters(memory, random):
    expected = scores(memory)
    found = scores(memory, random.sample(memory.items, len(memory.items)))
    found["pictures"].sort(key=lambda row: row["name"])
    assert found == expected


@given(memories(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_what_is_predicted_in_void_never_matters(memory, seed):
    rng = np.random.default_rng(seed)
    changed = [
        np.where(mask == 255, rng.normal(0, 9, logits.shape), logits)
        for mask, logits in zip(memory.masks, memory.logits, strict=True)
    ]
    assert scores(Memory(memory.masks, changed)) == scores(memory)


@given(memories(), st.permutations(range(CLASSES)))
@settings(max_examples=40, deadline=None)
def test_a_permutation_of_the_classes_permutes_the_scores(memory, order):
    assume_no_confidence_on_an_edge(memory)
    new_id = np.full(256, 255, np.uint8)
    new_id[list(order)] = np.arange(CLASSES)
    names = [memory.labels.names[i] for i in order]
    other = Memory([new_id[m] for m in memory.masks], [x[list(order)] for x in memory.logits], names)
    expected, found = scores(memory), scores(other)
    rows = [expected["classes"][i] | {"id": new} for new, i in enumerate(order)]
    expected["classes"] = rows
    expected["confusion"] = np.array(expected["confusion"])[np.ix_(order, order)].tolist()
    for key in ("absent", "predicted_only"):
        expected[key], found[key] = sorted(expected[key]), sorted(found[key])
    assert found == near(expected)


@given(memories(least_valid=1))
@settings(max_examples=30, deadline=None)
def test_torchmetrics_agrees_over_the_whole_run(memory):
    assume_no_confidence_on_an_edge(memory)
    found = scores(memory)
    truth = torch.from_numpy(np.concatenate([mask.ravel() for mask in memory.masks]).astype(np.int64))
    logits = torch.from_numpy(np.concatenate([x.reshape(CLASSES, -1) for x in memory.logits], 1)).T
    valid = truth != 255
    truth, chances = truth[valid], logits[valid].softmax(1)
    predicted = chances.argmax(1)
    present = [row["iou"] is not None for row in found["classes"]]

    def compare(key, function):
        theirs = function(predicted, truth, CLASSES, average="none").numpy()
        ours = np.array([row[key] or 0 for row in found["classes"]], float)
        np.testing.assert_allclose(ours[present], theirs[present], atol=1e-6)

    compare("iou", peer.multiclass_jaccard_index)
    compare("accuracy", peer.multiclass_recall)
    compare("precision", peer.multiclass_precision)
    compare("f1", peer.multiclass_f1_score)
    jaccard = peer.multiclass_jaccard_index(predicted, truth, CLASSES, average="macro")
    assert found["mean_iou"] == pytest.approx(float(jaccard), abs=1e-6)
    accuracy = peer.multiclass_accuracy(predicted, truth, CLASSES, average="micro")
    assert found["pixel_accuracy"] == pytest.approx(float(accuracy), abs=1e-6)
    calibration = peer.multiclass_calibration_error(chances, truth, CLASSES, n_bins=15)
    assert found["calibration"]["expected_calibration_error"] == pytest.approx(float(calibration), abs=1e-5)


def test_by_hand(tmp_path):
    """Two pictures, of which the second lacks a class and is all wrong in its one valid pixel."""
    masks = [np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 255, 255, 255]], np.uint8)]
    answers = [np.array([[0, 0, 0, 1]]), np.array([[1, 1, 1, 1]])]
    logits = [np.log(np.where(np.arange(3)[:, None, None] == ids, 0.8, 0.1)) for ids in answers]
    memory = Memory(masks, logits)
    evaluation = score_items(memory, memory.dataset, memory.items, metrics=default_metrics(memory.labels, 0))
    found = evaluation.to_json()
    assert (found["classes"][0]["iou"], found["classes"][1]["iou"]) == (2 / 4, 1 / 3)
    assert found["absent"] == ["c"]
    # True outlines: pixels 1 (a) and 2 (b); predicted: 2 (a) and 3 (b). Nothing is met at tolerance 0.
    assert found["boundary"] == {"mean_f1": 0.0, "tolerance_pixels": 0, "tolerance_share_of_diagonal": None}
    assert [row["boundary_f1"] for row in found["classes"]] == [0.0, 0.0, None]
    # Three of five valid pixels are right, all of them called with 0.8.
    assert found["calibration"]["expected_calibration_error"] == pytest.approx(0.2, abs=1e-6)
    assert sum(one["pixels"] for one in found["calibration"]["bins"]) == 5
    assert [row["expected_calibration_error"] for row in found["pictures"]] == pytest.approx([0.05, 0.8], abs=1e-6)
    assert [row["boundary_f1"] for row in found["pictures"]] == [0.0, None]

    evaluation.save(tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == found
    rows = list(csv.DictReader((tmp_path / "pictures.csv").read_text().splitlines()))
    assert list(rows[0]) == ["name", "mean_iou", "pixel_accuracy", "boundary_f1", "expected_calibration_error"]
    assert rows[1]["boundary_f1"] == ""
    assert "boundary_recall" in (tmp_path / "classes.csv").read_text().splitlines()[0].split(",")


def test_default_tolerance_is_a_share_of_the_diagonal():
    memory = Memory([np.zeros((3, 4), np.uint8)], [np.zeros((3, 3, 4))])
    measures = default_metrics(memory.labels)
    found = score_items(memory, memory.dataset, memory.items, metrics=measures).to_json()
    assert found["boundary"] == {"mean_f1": None, "tolerance_pixels": None, "tolerance_share_of_diagonal": 0.0075}


def test_everyone_is_shown_every_picture_in_order():
    memory = Memory([np.zeros((2, 2), np.uint8)] * 3, [np.zeros((3, 2, 2))] * 3)
    seen, steps = [], []
    score_items(
        memory,
        memory.dataset,
        memory.items,
        progress=lambda done, total: steps.append((done, total)),
        on_picture=lambda sample, result, score: seen.append((sample.name, score.name, result.classes)),
    )
    assert seen == [(name, name, ("a", "b", "c")) for name in ("p0", "p1", "p2")]
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_measures_keep_numbers_not_pixels():
    """What is kept for a picture does not depend on its size."""
    kept: dict[type, set[int]] = {}
    for side in (4, 64):
        mask = np.zeros((side, side), np.uint8)
        memory = Memory([mask], [np.random.default_rng(0).normal(size=(3, side, side))])
        for measure in (BoundaryF1Metric(3), CalibrationErrorMetric()):
            score_items(memory, memory.dataset, memory.items, metrics=[measure])
            kept.setdefault(type(measure), set()).add(size_of(measure))
    assert all(len(sizes) == 1 for sizes in kept.values()), kept


def size_of(thing):
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    if isinstance(thing, (list, tuple, set)):
        return sum(map(size_of, thing))
    return sum(map(size_of, vars(thing).values())) if hasattr(thing, "__dict__") else sys.getsizeof(0.5)


def test_no_more_pictures_are_decoded_than_needed_soon():
    memory = Memory([np.zeros((2, 2), np.uint8)] * 30, [np.zeros((3, 2, 2))] * 30)
    decoded, load = [], memory.dataset.load
    memory.dataset.load = lambda item: (decoded.append(item.name), load(item))[1]
    ahead = []
    score_items(memory, memory.dataset, memory.items, progress=lambda done, _: ahead.append(len(decoded) - done))
    assert len(decoded) == 30
    assert max(ahead) <= 6


def test_other_classes_and_missing_masks_are_the_users_mistake():
    memory = Memory([np.zeros((2, 2), np.uint8)], [np.zeros((3, 2, 2))])
    other = Memory(memory.masks, memory.logits, ("a", "b", "d"))
    with pytest.raises(WeightsError, match=r"a, b, c.*a, b, d"):
        score_items(memory, other.dataset, other.items)
    memory.dataset.load = lambda item: Sample(np.zeros((2, 2, 3), np.uint8), None, item.name)
    with pytest.raises(DataError, match=r"p0 has no mask.*another `split`"):
        score_items(memory, memory.dataset, memory.items)


def test_the_palette_is_kept_for_the_report():
    labels = LabelSpec(("a", "b"), ((1, 2, 3), (4, 5, 6)))
    memory = Memory([np.zeros((2, 2), np.uint8)], [np.zeros((2, 2, 2))], ("a", "b"))
    memory.labels = memory.dataset.labels = labels
    items = [Item("p0", Path("p0.png"))]
    assert score_items(memory, memory.dataset, items).to_json()["palette"] == [[1, 2, 3], [4, 5, 6]]
