"""Road scores against a brute force over the 256 thresholds, written from the definition alone."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atonce.metrics.kitti_road.road_evaluator import THRESHOLDS, RoadEvaluator

RATIOS = ("max_f", "average_precision", "precision", "recall", "fpr", "fnr", "threshold")


def ground_truth(road, valid):
    """RGB as in the benchmark's files: red marks the valid pixels, blue the road, also where nothing is valid."""
    return np.stack([255 * valid, np.zeros_like(valid, int), 255 * road], axis=-1).astype(np.uint8)


def scored(*pairs):
    evaluator = RoadEvaluator()
    for probability, truth in pairs:
        evaluator.add(probability, truth)
    return evaluator


def brute_force(pairs):
    """Counts per threshold, and the scores, pixel by pixel sums over all pictures."""
    counts = []
    for k in range(256):
        tp = fp = fn = tn = 0
        for probability, truth in pairs:
            chance = probability / 255.0 if probability.dtype == np.uint8 else probability.astype(np.float64)
            found, valid, road = chance >= k / 255, truth[..., 0] > 0, truth[..., 2] > 0
            tp += int((found & valid & road).sum())
            fp += int((found & valid & ~road).sum())
            fn += int((~found & valid & road).sum())
            tn += int((~found & valid & ~road).sum())
        counts.append((tp, fp, fn, tn))
    f = [2 * tp / (2 * tp + fp + fn) if tp else 0.0 for tp, fp, fn, _ in counts]
    curve = [(tp / (tp + fn), tp / (tp + fp)) for tp, fp, fn, _ in counts if tp]
    levels = [max(precision for recall, precision in curve if recall >= i * 0.1) for i in range(11)]
    return np.array(counts), f, sum(levels) / 11


@st.composite
def categories(draw):
    """One to three pictures, with ties, values on the thresholds, and at least one road pixel."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["uint8", "float32", "float64", "float16", "levels32", "levels64", "coarse"]))
    pairs = []
    for _ in range(draw(st.integers(1, 3))):
        shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
        road, valid = rng.random(shape) < 0.4, rng.random(shape) < 0.8
        road.flat[0] = valid.flat[0] = True
        chance = np.clip(rng.normal(0.4, 0.3, shape) + 0.3 * road, 0, 1)
        level = np.rint(chance * 255)
        probability = {
            "uint8": level.astype(np.uint8),
            "levels32": level.astype(np.float32) / np.float32(255),
            "levels64": level / 255,
            "coarse": np.rint(chance * 4) / 4,
        }.get(kind)
        pairs.append((chance.astype(kind) if probability is None else probability, ground_truth(road, valid)))
    return pairs


@given(categories())
@settings(max_examples=60, deadline=None)
def test_equals_brute_force(pairs):
    evaluator = scored(*pairs)
    counts, f, average_precision = brute_force(pairs)
    ours = np.stack([evaluator.tp, evaluator.fp, evaluator.fn, evaluator.tn], axis=1)
    assert ours.dtype == np.int64
    assert (ours == counts).all()
    scores = evaluator.scores()
    best = round(scores.threshold * 255)
    assert scores.max_f == pytest.approx(max(f), abs=1e-9)
    assert f[best] == pytest.approx(max(f), abs=1e-9)
    tp, fp, fn, tn = counts[best].tolist()
    assert (scores.tp, scores.fp, scores.fn, scores.tn) == (tp, fp, fn, tn)
    assert scores.precision == tp / (tp + fp)
    assert scores.recall == tp / (tp + fn)
    assert scores.fnr == fn / (tp + fn)
    assert scores.fpr == (pytest.approx(math.nan, nan_ok=True) if fp + tn == 0 else fp / (fp + tn))
    assert scores.average_precision == pytest.approx(average_precision, abs=1e-9)


@given(categories(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_order_merging_and_invalid_pixels_never_matter(pairs, random):
    whole = scored(*pairs)
    merged = RoadEvaluator()
    for probability, truth in random.sample(pairs, len(pairs)):
        outside = truth[..., 0] == 0
        nonsense = np.where(outside, 7 if probability.dtype == np.uint8 else np.nan, probability)
        merged = merged + scored((nonsense.astype(probability.dtype), truth))
    assert (merged.tp == whole.tp).all()
    assert (merged.fp == whole.fp).all()
    assert dict(merged.scores()) == pytest.approx(dict(whole.scores()), nan_ok=True)


def test_a_byte_is_the_same_as_its_float():
    """All 256: v / 255 rounded to float32, as the benchmark's kit has it, still reaches the threshold v / 255."""
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    truth = ground_truth(np.ones((16, 16), bool), np.ones((16, 16), bool))
    expected = 256 - np.arange(256)
    for probability in (values, values.astype(np.float32) / np.float32(255), values / 255.0):
        assert (scored((probability, truth)).tp == expected).all()


def test_floats_next_to_a_threshold_fall_on_the_right_side():
    truth = ground_truth(np.ones((1, 256), bool), np.ones((1, 256), bool))
    for probability in (np.nextafter(THRESHOLDS, 0), THRESHOLDS, np.nextafter(THRESHOLDS, 1)):
        expected = [(probability >= threshold).sum() for threshold in THRESHOLDS]
        assert (scored((np.clip(probability, 0, 1)[None], truth)).tp == expected).all()


def test_any_red_is_valid_and_any_blue_is_road():
    """However faint, as the kit has it; green says nothing."""
    truth = np.array([[[1, 0, 1], [1, 0, 0], [255, 9, 1], [0, 0, 255], [0, 255, 0]]], np.uint8)
    evaluator = scored((np.ones((1, 5)), truth))
    assert (evaluator.positives, evaluator.negatives) == (2, 1)


def test_by_hand():
    # Road .9 .6 .2, other .6 .1, and a road-coloured pixel that is not valid.
    truth = ground_truth(np.array([[1, 1, 1, 0, 0, 1]], bool), np.array([[1, 1, 1, 1, 1, 0]], bool))
    scores = scored((np.array([[0.9, 0.6, 0.2, 0.6, 0.1, 0.9]]), truth)).scores()
    # F: all 3/4; above .1 6/7; above .2 2/3; above .6 1/2. The lowest threshold above 0.1 is 26/255.
    assert scores.max_f == pytest.approx(6 / 7)
    assert scores.threshold == 26 / 255
    assert (scores.precision, scores.recall, scores.fpr, scores.fnr) == (3 / 4, 1, 1 / 2, 0)
    assert (scores.tp, scores.fp, scores.fn, scores.tn) == (3, 1, 0, 1)
    # Precision 1 up to recall 1/3 (levels 0, .1, .2, .3), then 3/4 up to recall 1 (seven levels).
    assert scores.average_precision == pytest.approx((4 * 1 + 7 * 3 / 4) / 11)
    assert scores["max_f"] == scores.max_f
    assert set(RATIOS) < set(dict(scores))
    with pytest.raises(KeyError):
        scores["iou"]


def test_ties_go_to_the_lowest_threshold():
    truth = ground_truth(np.array([[1, 0]], bool), np.ones((1, 2), bool))
    assert scored((np.array([[1.0, 0.0]]), truth)).scores().threshold == 1 / 255


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_all_zero_and_all_one_find_everything_at_threshold_zero(value, dtype):
    probability = np.full((1, 4), value, np.uint8)
    truth = ground_truth(np.array([[1, 0, 0, 0]], bool), np.ones((1, 4), bool))
    chance = probability if dtype is np.uint8 else (probability / 255).astype(dtype)
    evaluator = scored((chance, truth))
    scores = evaluator.scores()
    assert scores.threshold == 0
    assert (scores.recall, scores.fpr, scores.precision) == (1, 1, 1 / 4)
    assert scores.max_f == pytest.approx(2 / 5)
    assert scores.average_precision == pytest.approx(1 / 4)
    assert evaluator.tp.tolist() == ([1] * 256 if value else [1] + [0] * 255)


def test_no_road_has_no_scores():
    truth = ground_truth(np.zeros((2, 2), bool), np.ones((2, 2), bool))
    for evaluator in (RoadEvaluator(), scored((np.full((2, 2), 0.5), truth))):
        scores = evaluator.scores()
        assert all(math.isnan(scores[name]) for name in RATIOS)
        assert (scores.tp, scores.fp) == (0, 0)
        assert np.isnan(evaluator.curve().recall).all()
        assert json.loads(json.dumps(scores.to_json(), allow_nan=False))["max_f"] is None
    assert (evaluator.positives, evaluator.negatives) == (0, 4)


def test_nothing_but_road_has_no_false_positive_rate():
    truth = ground_truth(np.ones((1, 2), bool), np.ones((1, 2), bool))
    scores = scored((np.array([[0.5, 1.0]]), truth)).scores()
    assert math.isnan(scores.fpr)
    assert (scores.precision, scores.recall, scores.threshold) == (1, 1, 0)
    assert scores.max_f == pytest.approx(1)
    assert scores.average_precision == pytest.approx(1)


def test_curve():
    truth = ground_truth(np.array([[1, 1, 0, 0]], bool), np.ones((1, 4), bool))
    threshold, precision, recall = scored((np.array([[0.8, 0.4, 0.4, 0.0]]), truth)).curve()
    assert (threshold == THRESHOLDS).all()
    assert (recall[[0, 1, 102, 103, 204, 205]] == [1, 1, 1, 0.5, 0.5, 0]).all()
    np.testing.assert_allclose(precision[[0, 1, 102, 103, 204, 205]], [1 / 2, 2 / 3, 2 / 3, 1, 1, np.nan])


@pytest.mark.parametrize(
    ("probability", "truth", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2, 3), np.uint8), "expected equal sizes"),
        (np.zeros((2, 3, 1)), np.zeros((2, 3, 3), np.uint8), "expected equal sizes"),
        (np.zeros((2, 3)), np.zeros((2, 3), np.uint8), "expected RGB"),
        (np.zeros((2, 3)), np.zeros((2, 3, 3)), "expected RGB"),
        (np.zeros((2, 3), np.int64), np.zeros((2, 3, 3), np.uint8), "probability is int64"),
        (np.full((2, 3), np.nan), np.full((2, 3, 3), 255, np.uint8), "NaN"),
        (np.full((2, 3), 255.0), np.full((2, 3, 3), 255, np.uint8), r"expected 0\.\.1"),
        (np.full((2, 3), -0.1), np.full((2, 3, 3), 255, np.uint8), r"expected 0\.\.1"),
    ],
)
def test_refusals_count_nothing(probability, truth, message):
    evaluator = RoadEvaluator()
    with pytest.raises(ValueError, match=message):
        evaluator.add(probability, truth)
    assert evaluator.positives + evaluator.negatives == 0
