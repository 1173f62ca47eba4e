"""The pictures that a model was trained on, told by their content: scores on them measure memory."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from atonce.data import Dataset, Item
from atonce.data.fingerprint import picture_digest
from atonce.errors import UserError
from atonce.inference.load import Model
from atonce.inference.predictor import Predictor
from atonce.model_location import find_model_file
from atonce.text import listing
from atonce.untrusted_files import read_json


def trained_pictures_note(model: Model, dataset: Dataset, items: Sequence[Item], split: str) -> str:
    """Say how many of the pictures that are scored the model was trained on, as far as its run folder knows them.

    Another ground truth, a changed list of a split or another data set with the same pictures brings them there. Where
    the training split is asked for, those that belong to it now are no surprise.

    Args:
        model: as it was given; only what lies in its run folder is known.
        split: the split that was asked for.

    Returns:
        A line; empty where there is nothing to say.
    """
    trained = _digests_of_training(model)
    asked_for = {item.name for item in dataset.splits.get("train", ())} if split in ("train", "all") else set()
    if not trained:
        return ""
    seen = [item.name for item in items if item.name not in asked_for and picture_digest(item.image) in trained]
    if not seen:
        return ""
    are = "is one" if len(seen) == 1 else "are some"
    return (
        f"warning: {len(seen)} of the {len(items)} scored ({listing(seen, 3)}) {are} that the model was trained on: "
        "it may know them by heart, and the scores say less of new pictures"
    )


def _digests_of_training(model: Model) -> frozenset[str]:
    """Read the digests of training pictures from the run folder of a model; none where there is no such folder."""
    if isinstance(model, Predictor) or not isinstance(model, (str, PathLike)):
        return frozenset()
    try:
        recorded = read_json(Path(find_model_file(model)).parent / "data.json")
        return frozenset(map(str, recorded["trained_pictures"]))
    except (UserError, OSError, ValueError, KeyError, TypeError):
        return frozenset()
