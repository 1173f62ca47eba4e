"""The confusion matrix, by hand, against torchmetrics, and by its properties."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from atonce.labels import CAMVID, LabelSpec
from atonce.metrics.confusion_matrix import ConfusionMatrix

SCORES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou", "mean_f1")
PER_CLASS = ("iou", "accuracy", "precision", "f1")


def counted(labels, predictions, num_classes, **options):
    matrix = ConfusionMatrix(num_classes, **options)
    matrix.add(labels, predictions)
    return matrix


@st.composite
def pictures(draw):
    """(C, labels (N, H, W) with void, predictions of the same shape that may be nonsense in void)."""
    classes = draw(st.integers(1, 6))
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(0, classes, shape).astype(np.uint8)
    labels[rng.random(shape) < draw(st.sampled_from([0.0, 0.2, 1.0]))] = 255
    predictions = rng.integers(0, classes, shape).astype(np.uint8)
    return classes, labels, predictions


def test_scores_by_hand():
    # Class 0: 3 of 4 right. Class 1: 1 of 2 right, and one of class 0 taken for it. Void: predicted as both.
    labels = np.array([[0, 0, 0, 0], [1, 1, 255, 255]], np.uint8)
    predictions = np.array([[0, 0, 0, 1], [1, 0, 0, 1]], np.uint8)
    matrix = counted(labels, predictions, 2)
    assert matrix.matrix.tolist() == [[3, 1], [1, 1]]
    assert matrix.matrix.dtype == np.int64
    assert matrix.pixel_accuracy == pytest.approx(4 / 6)
    assert matrix.accuracy == pytest.approx([3 / 4, 1 / 2])
    assert matrix.mean_accuracy == pytest.approx(5 / 8)
    assert matrix.precision == pytest.approx([3 / 4, 1 / 2])
    assert matrix.iou == pytest.approx([3 / 5, 1 / 3])
    assert matrix.iou.dtype == np.float64
    assert matrix.mean_iou == pytest.approx(7 / 15)
    assert matrix.frequency_weighted_iou == pytest.approx((4 * 3 / 5 + 2 * 1 / 3) / 6)
    assert matrix.f1 == pytest.approx([6 / 8, 2 / 4])
    assert matrix.mean_f1 == pytest.approx(5 / 8)
    assert (matrix.absent, matrix.predicted_only) == ((), ())


def test_a_class_in_neither_is_nan_and_named():
    matrix = counted(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    assert np.isnan(matrix.iou).tolist() == [False, False, True]
    assert matrix.mean_iou == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert matrix.mean_accuracy == pytest.approx((1 / 2 + 1) / 2)
    assert matrix.frequency_weighted_iou == pytest.approx(1 / 2)
    assert (matrix.absent, matrix.predicted_only) == ((2,), ())


def test_a_class_that_is_only_predicted_has_iou_zero():
    """As score.py of the FCN authors and torchmetrics have it: those pixels are mistakes, and count as such."""
    matrix = counted(np.array([0, 0, 1]), np.array([0, 2, 1]), 3)
    assert matrix.iou == pytest.approx([1 / 2, 1, 0])
    assert matrix.mean_iou == pytest.approx(1 / 2)
    assert matrix.mean_accuracy == pytest.approx(3 / 4)  # over the two classes that there are
    assert np.isnan(matrix.accuracy[2])
    assert (matrix.absent, matrix.predicted_only) == ((), (2,))


@pytest.mark.parametrize("labels", [np.zeros((0,), np.uint8), np.full((2, 2), 255, np.uint8)], ids=["empty", "void"])
def test_nothing_counted_is_nan_without_a_warning(labels):
    matrix = counted(labels, np.zeros_like(labels), 3)
    assert all(np.isnan(getattr(matrix, name)) for name in SCORES)
    assert all(np.isnan(getattr(matrix, name)).all() for name in PER_CLASS)
    assert matrix.absent == (0, 1, 2)


@given(pictures())
@settings(max_examples=40, deadline=None)
def test_agrees_with_torchmetrics(case):
    """Per class, and the macro mean, which both take over the classes that appear in truth or prediction."""
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.classification")
    classes, labels, predictions = case
    assume(classes >= 2)  # as torchmetrics wants it
    matrix = counted(labels, predictions, classes)
    truth, predicted = torch.from_numpy(labels.astype(np.int64)), torch.from_numpy(predictions.astype(np.int64))

    def peer(name, **options):
        return getattr(classification, name)(num_classes=classes, ignore_index=255, **options)(predicted, truth).numpy()

    assert peer("MulticlassConfusionMatrix").tolist() == matrix.matrix.tolist()
    # Where a class is absent torchmetrics says 0 for it (but leaves it out of its mean); we say NaN.
    assert peer("MulticlassJaccardIndex", average="none") == pytest.approx(np.nan_to_num(matrix.iou), abs=1e-6)
    assert float(peer("MulticlassJaccardIndex")) == pytest.approx(matrix.mean_iou, abs=1e-6, nan_ok=True)
    weighted = float(peer("MulticlassJaccardIndex", average="weighted"))
    assert weighted == pytest.approx(matrix.frequency_weighted_iou, abs=1e-6, nan_ok=True)


@given(pictures(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_batch_dtype_and_void_never_matter(case, random):
    classes, labels, predictions = case
    whole = counted(labels, predictions, classes)
    one_by_one = ConfusionMatrix(classes)
    order = list(range(len(labels)))
    random.shuffle(order)
    for i in order:
        part = ConfusionMatrix(classes)
        part.add(labels[i].astype(np.int32), predictions[i].astype(np.int64))
        one_by_one.merge(part)
    assert (one_by_one.matrix == whole.matrix).all()

    nonsense = np.where(labels == 255, 251, predictions).astype(np.uint8)
    assert (counted(labels, nonsense, classes).matrix == whole.matrix).all()
    signed = np.where(labels == 255, -7, predictions.astype(np.int16))
    assert (counted(labels, signed, classes).matrix == whole.matrix).all()
    kept = labels != 255
    assert (counted(labels[kept], predictions[kept], classes, ignore_index=None).matrix == whole.matrix).all()


@given(pictures(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_a_permutation_of_the_classes_permutes_the_scores(case, random):
    classes, labels, predictions = case
    renamed = list(range(classes))
    random.shuffle(renamed)
    table = np.arange(256, dtype=np.uint8)
    table[:classes] = renamed
    before = counted(labels, predictions, classes)
    after = counted(table[labels], table[predictions], classes)
    for name in PER_CLASS:
        np.testing.assert_array_equal(getattr(after, name)[renamed], getattr(before, name))
    for name in SCORES:
        assert getattr(after, name) == pytest.approx(getattr(before, name), nan_ok=True)


@given(pictures())
@settings(max_examples=20, deadline=None)
def test_a_sum_is_the_same_as_adding(case):
    classes, labels, predictions = case
    first, second = counted(labels[:1], predictions[:1], classes), counted(labels[1:], predictions[1:], classes)
    both = first + second
    assert (both.matrix == counted(labels, predictions, classes).matrix).all()
    assert (first.matrix == counted(labels[:1], predictions[:1], classes).matrix).all()
    assert (ConfusionMatrix.from_matrix(both.matrix).iou[both.matrix.any(axis=1)] >= 0).all()


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), r"labels are \(2, 3\) and predictions \(3, 2\)"),
        (
            np.array([0, 3], np.uint8),
            np.array([0, 0], np.uint8),
            r"labels hold the id 3; expected 0..2 or 255 \(void\)",
        ),
        (np.array([0, -1]), np.array([0, 0]), "labels hold the id -1"),
        (np.array([0, 254]), np.array([0, 0]), "labels hold the id 254"),
        (np.array([0, 1], np.uint8), np.array([0, 255], np.uint8), r"predictions hold the id 255; expected 0..2$"),
        (np.array([0, 1]), np.array([0, 3]), "predictions hold the id 3"),
        (np.array([0.0]), np.array([0]), "labels are float64; expected integer"),
        (np.array([0]), np.array([0.5]), "predictions are float64; expected integer"),
    ],
)
def test_refusals_count_nothing(labels, predictions, message):
    matrix = counted(np.array([1]), np.array([1]), 3)
    with pytest.raises(ValueError, match=message):
        matrix.add(labels, predictions)
    assert matrix.matrix.sum() == 1


def test_refusals_of_constructors_and_merge():
    with pytest.raises(ValueError, match="num_classes"):
        ConfusionMatrix(0)
    with pytest.raises(ValueError, match="cannot merge 2 classes into 3"):
        ConfusionMatrix(3).merge(ConfusionMatrix(2))
    with pytest.raises(ValueError, match="integers"):
        ConfusionMatrix.from_matrix(np.zeros((2, 3), np.int64))
    with pytest.raises(ValueError, match="negative"):
        ConfusionMatrix.from_matrix([[1, -1], [0, 0]])
    with pytest.raises(ValueError, match="11 class names"):
        ConfusionMatrix(3).scores(CAMVID)


def test_unusual_void_and_many_classes():
    zero_is_void = counted(np.array([0, 1, 2], np.uint8), np.array([1, 1, 0], np.uint8), 3, ignore_index=0)
    assert zero_is_void.matrix.tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]
    negative = counted(np.array([-100, 1]), np.array([0, 1]), 2, ignore_index=-100)
    assert negative.matrix.tolist() == [[0, 0], [0, 1]]
    many = counted(np.array([299, 255, 7]), np.array([299, 3, 8]), 300)
    assert many.matrix.sum() == 2
    assert many.matrix[299, 299] == many.matrix[7, 8] == 1
    bytes_of_many = counted(np.array([200], np.uint8), np.array([7], np.uint8), 300)
    assert bytes_of_many.matrix[200, 7] == 1


def test_the_matrix_is_a_copy():
    matrix = counted(np.array([0]), np.array([0]), 1)
    matrix.matrix[0, 0] = 99
    assert matrix.matrix[0, 0] == 1


def test_scores_are_json_with_a_row_per_class():
    spec = LabelSpec.from_names(["road", "car", "pole", "sky"])
    matrix = counted(np.array([0, 0, 1, 255]), np.array([0, 2, 1, 3]), 4)
    scores = json.loads(json.dumps(matrix.scores(spec), allow_nan=False))
    assert scores["mean_iou"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert scores["absent"] == ["sky"]
    assert scores["predicted_only"] == ["pole"]
    assert scores["pixels"] == 3
    assert [row["name"] for row in scores["classes"]] == ["road", "car", "pole", "sky"]
    assert scores["classes"][3]["iou"] is None
    assert scores["classes"][0] == {
        "id": 0,
        "name": "road",
        "iou": 0.5,
        "accuracy": 0.5,
        "precision": 1.0,
        "f1": pytest.approx(2 / 3),
        "pixels": 2,
        "predicted_pixels": 1,
    }
