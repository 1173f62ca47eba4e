"""A network that predicts one class only is remarked on: by training, once, and not where there is one class only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atonce.labels import LabelSpec
from atonce.metrics.confusion_matrix import ConfusionMatrix
from atonce.reports.single_prediction import absent_but_predicted, single_prediction
from atonce.training import Callback, run_training
from tests.tiny import tiny_recipe

LABELS = LabelSpec.from_names(("road", "rest", "pole"))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([[5, 0, 0], [3, 0, 0], [0, 0, 0]], True),
        ([[5, 0, 0], [3, 1, 0], [0, 0, 0]], False),
        ([[5, 0, 0], [0, 0, 0], [0, 0, 0]], False),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], False),
    ],
)
def test_one_class_of_several_is_remarked_on(counts: list[list[int]], said: bool) -> None:
    text = single_prediction(ConfusionMatrix.from_matrix(np.array(counts)).scores(LABELS)["classes"])
    assert text.startswith("every pixel is predicted as 'road', of 2 classes in the masks") == said
    assert bool(text) == said


class Notes(Callback):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_note(self, text: str) -> None:
        self.lines.append(text)


def test_a_training_says_it_once(street_data: Path, tmp_path: Path) -> None:
    """At a rate that rounds to nothing scores of zero stay zero: the first class everywhere."""
    notes = Notes()
    recipe = tiny_recipe("optim.name=sgd", "optim.lr=1e-60", "model.score_init=zeros", "train.validate_every=2")
    run_training(recipe, street_data, tmp_path / "run", callback=notes)
    (note,) = (line for line in notes.lines if "every pixel is predicted as" in line)
    assert note.startswith("step 2: every pixel is predicted as")


def test_what_predicted_classes_that_no_mask_shows_do_to_the_mean_is_said() -> None:
    assert absent_but_predicted([]) == ""
    assert absent_but_predicted(["triangle"]).startswith("triangle is in no mask that was scored: its IoU is 0 as long")
    assert absent_but_predicted(["a", "b"]).startswith("a, b are in no mask that was scored: their IoU")
