"""Boundary F1 against a brute force over all pairs of pixels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atonce.metrics.boundary_f1 import BoundaryF1


def counted(labels, predictions, num_classes, tolerance):
    score = BoundaryF1(num_classes, tolerance)
    score.add(labels, predictions)
    return score


def outline(ids, labels, wanted):
    """Coordinates of the boundary of one class, pixel by pixel, from the definition."""
    height, width = ids.shape
    found = []
    for y in range(height):
        for x in range(width):
            around = [(y + dy, x + dx) for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1))]
            around = [(r, c) for r, c in around if 0 <= r < height and 0 <= c < width]
            if labels[y, x] == 255 or any(labels[p] == 255 for p in around):
                continue
            if ids[y, x] == wanted and any(ids[p] != wanted for p in around):
                found.append((y, x))
    return found


def matched(points, others, tolerance):
    square = math.floor(tolerance**2 + 1e-9)
    return sum(any((y - r) ** 2 + (x - c) ** 2 <= square for r, c in others) for y, x in points)


def brute_force(labels, predictions, num_classes, tolerance):
    """precision, recall, f1 per class, over pictures (N, H, W)."""
    result = np.full((3, num_classes), np.nan)
    for wanted in range(num_classes):
        true = hit = claimed = right = 0
        for label, prediction in zip(labels, predictions, strict=True):
            truth, guess = outline(label, label, wanted), outline(prediction, label, wanted)
            true, hit = true + len(truth), hit + matched(truth, guess, tolerance)
            claimed, right = claimed + len(guess), right + matched(guess, truth, tolerance)
        precision = right / claimed if claimed else math.nan
        recall = hit / true if true else math.nan
        f1 = math.nan
        if true or claimed:
            f1 = 2 * precision * recall / (precision + recall) if hit and right else 0.0
        result[:, wanted] = precision, recall, f1
    return result


@st.composite
def pictures(draw):
    num_classes = draw(st.integers(1, 5))
    count, height, width = draw(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def blocks():
        coarse = rng.integers(0, num_classes, (count, height // 3 + 1, width // 3 + 1))
        return np.kron(coarse, np.ones((1, 3, 3), int))[:, :height, :width].astype(np.uint8)

    labels, predictions = blocks(), blocks()
    labels[rng.random(labels.shape) < draw(st.sampled_from([0.0, 0.0, 0.05]))] = 255
    return num_classes, labels, predictions


tolerances = st.sampled_from([0, 0.9, 1, 1.5, math.sqrt(2), 2, math.sqrt(13), 5, 40])


@given(pictures(), tolerances)
@settings(max_examples=60, deadline=None)
def test_equals_brute_force(case, tolerance):
    num_classes, labels, predictions = case
    score = counted(labels, predictions, num_classes, tolerance)
    expected = brute_force(labels, predictions, num_classes, tolerance)
    np.testing.assert_allclose(np.stack([score.precision, score.recall, score.f1]), expected, rtol=1e-12)
    known = expected[2][~np.isnan(expected[2])]
    assert score.mean_f1 == pytest.approx(known.mean() if known.size else math.nan, nan_ok=True)


@given(pictures(), tolerances, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_batches_and_void_never_matter(case, tolerance, random):
    num_classes, labels, predictions = case
    whole = counted(labels, predictions, num_classes, tolerance)
    merged = BoundaryF1(num_classes, tolerance)
    for i in random.sample(range(len(labels)), len(labels)):
        nonsense = np.where(labels[i] == 255, 200 + i, predictions[i].astype(np.int64))
        merged.merge(counted(labels[i].astype(np.int32), nonsense, num_classes, tolerance))
    np.testing.assert_array_equal(merged.f1, whole.f1)
    np.testing.assert_array_equal(merged.precision, whole.precision)


@given(pictures(), tolerances, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_a_permutation_of_the_classes_permutes_the_scores(case, tolerance, random):
    num_classes, labels, predictions = case
    renamed = random.sample(range(num_classes), num_classes)
    table = np.arange(256, dtype=np.uint8)
    table[:num_classes] = renamed
    before = counted(labels, predictions, num_classes, tolerance)
    after = counted(table[labels], table[predictions], num_classes, tolerance)
    np.testing.assert_array_equal(after.f1[renamed], before.f1)


@given(pictures(), tolerances)
@settings(max_examples=20, deadline=None)
def test_a_perfect_prediction_scores_one(case, tolerance):
    num_classes, labels, _ = case
    perfect = np.where(labels == 255, 0, labels)
    f1 = counted(labels, perfect, num_classes, tolerance).f1
    assert (f1[~np.isnan(f1)] == 1).all()


def test_a_shift_is_forgiven_up_to_the_tolerance():
    labels = np.zeros((20, 30), np.uint8)
    labels[:, 15:] = 1
    for shift in range(1, 5):
        predictions = np.roll(labels, shift, axis=1)
        predictions[:, :5] = 0
        for tolerance in (shift - 0.1, shift):
            score = counted(labels, predictions, 2, tolerance)
            assert score.f1.tolist() == [float(tolerance >= shift)] * 2


def test_the_tolerance_is_a_distance_and_may_be_no_whole_number():
    """(2, 3) apart is sqrt(13), whose square in floating point is below 13."""
    labels, predictions = np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.uint8)
    labels[5, 5] = predictions[7, 8] = 1
    for tolerance, expected in ((3.6, 0.0), (math.sqrt(13), 1.0)):
        assert counted(labels, predictions, 2, tolerance).f1[1] == expected


def test_one_side_only_is_zero_and_neither_is_nan():
    labels = np.zeros((6, 6), np.uint8)
    predictions = labels.copy()
    predictions[2:4, 2:4] = 1
    score = counted(labels, predictions, 3, 1)
    np.testing.assert_array_equal(score.f1, [0, 0, np.nan])
    np.testing.assert_array_equal(score.precision, [0, 0, np.nan])
    assert np.isnan(score.recall).all()
    assert score.mean_f1 == 0
    assert math.isnan(BoundaryF1(3).mean_f1)


def test_default_tolerance_is_a_share_of_the_diagonal():
    labels = np.zeros((360, 480), np.uint8)
    labels[:, 240:] = 1
    for shift, expected in ((4, 1.0), (5, 0.0)):  # 0.75 % of 600 is 4.5
        predictions = np.zeros_like(labels)
        predictions[:, 240 + shift :] = 1
        assert counted(labels, predictions, 2, None).f1.tolist() == [expected] * 2


def test_more_classes_than_bits():
    labels = np.arange(200, dtype=np.uint8).reshape(10, 20)
    score = counted(labels, np.roll(labels, 1, axis=1), 200, 1)
    np.testing.assert_array_equal(score.precision > 0, np.arange(200) % 20 != 19)
    assert (counted(labels, labels, 200, 0).f1 == 1).all()


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), "expected equal"),
        (np.zeros(3, int), np.zeros(3, int), "expected equal"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "labels are float64"),
        (np.full((2, 2), 3), np.zeros((2, 2), int), "labels hold an id outside 0..2"),
        (np.zeros((2, 2), int), np.full((2, 2), 255), "predictions hold an id outside 0..2"),
    ],
)
def test_refusals(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        BoundaryF1(3).add(labels, predictions)


def test_refusals_of_constructors_and_merge():
    with pytest.raises(ValueError, match="num_classes"):
        BoundaryF1(0)
    for tolerance in (-1, math.inf, math.nan):
        with pytest.raises(ValueError, match="tolerance"):
            BoundaryF1(2, tolerance)
    with pytest.raises(ValueError, match="cannot merge"):
        BoundaryF1(2, 1).merge(BoundaryF1(2, 2))
