"""Calibration error by hand, against torchmetrics, and by its properties."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from atonce.metrics.calibration_error import CalibrationError


def counted(labels, probabilities, **options):
    error = CalibrationError(**options)
    error.add(labels, probabilities)
    return error


@st.composite
def pictures(draw):
    """(labels (N, H, W) with void, probabilities float32 (N, C, H, W))."""
    classes = draw(st.integers(2, 5))
    count, height, width = draw(st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = np.exp(rng.normal(0, 2, (count, classes, height, width)))
    labels = rng.integers(0, classes, (count, height, width)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.2] = 255
    return labels, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def test_by_hand():
    # Confidences .9 .8 (right, wrong) in (.5, 1], .4 (right) in (0, .5]; a fourth pixel is void.
    labels = np.array([[0, 0, 2, 255]])
    probabilities = np.array([[[0.9, 0.1, 0.3, 0.0]], [[0.1, 0.8, 0.3, 0.0]], [[0.0, 0.1, 0.4, 1.0]]])
    error = counted(labels, probabilities, num_bins=2)
    assert error.bins.count.tolist() == [1, 2]
    assert error.bins.confidence == pytest.approx([0.4, 0.85])
    assert error.bins.accuracy == pytest.approx([1, 0.5])
    assert error.expected_calibration_error == pytest.approx((1 * 0.6 + 2 * 0.35) / 3)
    assert error.maximum_calibration_error == pytest.approx(0.6)


def test_a_bin_holds_its_upper_edge():
    probabilities = np.array([0.5, 0.5000001, 1.0, 0.25]).reshape(1, 1, 4)
    assert counted(np.zeros((1, 4), int), probabilities, num_bins=4).bins.count.tolist() == [1, 1, 1, 1]


def test_empty_bins_and_no_pixels_are_nan_without_a_warning():
    error = counted(np.zeros((1, 1), int), np.ones((1, 1, 1)), num_bins=3)
    np.testing.assert_array_equal(error.bins.accuracy, [np.nan, np.nan, 1])
    assert (error.expected_calibration_error, error.maximum_calibration_error) == (0, 0)
    for nothing in (CalibrationError(), counted(np.full((2, 2), 255), np.full((2, 2, 2), np.nan))):
        assert math.isnan(nothing.expected_calibration_error)
        assert math.isnan(nothing.maximum_calibration_error)
        assert nothing.bins.count.sum() == 0


@given(pictures())
@settings(max_examples=25, deadline=None)
def test_agrees_with_torchmetrics(case):
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("torchmetrics.classification")
    labels, probabilities = case
    error = counted(labels, probabilities)
    kept = labels != 255
    assume(kept.any())
    pixels = torch.from_numpy(np.moveaxis(probabilities, 1, -1)[kept])
    truth = torch.from_numpy(labels[kept].astype(np.int64))
    for norm, ours in (("l1", error.expected_calibration_error), ("max", error.maximum_calibration_error)):
        peer = metrics.MulticlassCalibrationError(num_classes=probabilities.shape[1], n_bins=15, norm=norm)
        assert ours == pytest.approx(float(peer(pixels, truth)), abs=1e-5)


@given(pictures(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_batches_and_void_never_matter(case, random):
    """Exactly, not within a rounding: the sums are integers."""
    labels, probabilities = case
    whole = counted(labels, probabilities)
    merged = CalibrationError()
    for i in random.sample(range(len(labels)), len(labels)):
        nonsense = np.where(labels[i] == 255, np.float32(np.nan), probabilities[i])
        merged.merge(counted(labels[i].astype(np.int64), nonsense))
    for name in ("confidence", "accuracy", "count"):
        np.testing.assert_array_equal(getattr(merged.bins, name), getattr(whole.bins, name))
    np.testing.assert_array_equal(merged.expected_calibration_error, whole.expected_calibration_error)


@given(pictures(), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_a_permutation_of_the_classes_changes_nothing(case, random):
    labels, probabilities = case
    classes = probabilities.shape[1]
    renamed = random.sample(range(classes), classes)
    table = np.arange(256, dtype=np.uint8)
    table[:classes] = renamed
    permuted = np.empty_like(probabilities)
    permuted[:, renamed] = probabilities
    before, after = counted(labels, probabilities), counted(table[labels], permuted)
    np.testing.assert_array_equal(after.bins.accuracy, before.bins.accuracy)
    np.testing.assert_array_equal(after.bins.confidence, before.bins.confidence)


def test_the_sum_of_confidences_is_exact_over_several_chunks():
    size = (1 << 20) + 3
    confidence = np.float32(1) / np.float32(3)
    probabilities = np.full((1, 1, size), confidence)
    error = counted(np.zeros((1, size), np.uint8), probabilities)
    assert error.bins.confidence[error.bins.count > 0].tolist() == [float(confidence)]


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((2, 3, 2)), "labels are"),
        (np.zeros((2, 3), int), np.zeros((2, 3)), "labels are"),
        (np.zeros((2, 3)), np.zeros((2, 2, 3)), "expected integers and floats"),
        (np.zeros((2, 3), int), np.zeros((2, 2, 3), np.uint8), "expected integers and floats"),
        (np.full((2, 3), 2), np.full((2, 2, 3), 0.5), "outside 0..1"),
        (np.zeros((2, 3), int), np.full((2, 2, 3), np.nan), "NaN"),
        (np.zeros((2, 3), int), np.full((2, 2, 3), 3.0), "not logits"),
        (np.zeros((2, 3), int), np.full((2, 2, 3), -1.0), "not logits"),
    ],
)
def test_refusals_count_nothing(labels, probabilities, message):
    error = CalibrationError()
    with pytest.raises(ValueError, match=message):
        error.add(labels, probabilities)
    assert error.bins.count.sum() == 0


def test_refusals_of_constructors_and_merge():
    with pytest.raises(ValueError, match="num_bins"):
        CalibrationError(0)
    with pytest.raises(ValueError, match="cannot merge"):
        CalibrationError(10).merge(CalibrationError(15))
