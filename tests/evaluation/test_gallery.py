"""Worst and best pictures: the right ones, few of them in memory, none of them twice."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from atonce.data.dataset import Sample
from atonce.errors import StorageError
from atonce.evaluation.gallery import Gallery
from atonce.evaluation.scoring import PictureScore
from atonce.inference.result import Result
from atonce.labels import LabelSpec

SPEC = LabelSpec(("road", "rest"), ((128, 64, 128), (70, 70, 70)))


def show(gallery, name, mean_iou, size=(6, 8)):
    image = np.full((*size, 3), 90, np.uint8)
    result = Result(image, SPEC, logits=torch.zeros(2, *size))
    gallery(Sample(image, np.zeros(size, np.uint8), name), result, PictureScore(name, mean_iou, 0.5))


def names(entries, rank):
    return [entry["name"] for entry in entries if entry["rank"] == rank]


def test_keeps_the_extremes_in_order_and_writes_panels(tmp_path):
    gallery = Gallery(best=2, worst=3)
    for i in (5, 1, 8, 0, 3, 7, 2, 9, 4, 6):
        show(gallery, f"p{i}", i / 10)
    entries = gallery.save(tmp_path)
    assert names(entries, "worst") == ["p0", "p1", "p2"]
    assert names(entries, "best") == ["p9", "p8"]
    assert entries[0] == {
        "name": "p0",
        "mean_iou": 0.0,
        "pixel_accuracy": 0.5,
        "rank": "worst",
        "picture": "gallery/worst_1_p0.jpg",
    }
    assert json.loads(json.dumps(entries)) == entries
    assert sorted(p.name for p in (tmp_path / "gallery").iterdir()) == sorted(e["picture"][8:] for e in entries)
    with Image.open(tmp_path / entries[0]["picture"]) as picture:
        assert (picture.format, picture.size) == ("JPEG", (24, 6))


def test_memory_is_bounded():
    gallery = Gallery(best=2, worst=3)
    for i in range(50):
        show(gallery, f"p{i:02}", math.sin(i))
    assert len(gallery._lowest) == 3
    assert len(gallery._highest) == 2


def test_a_picture_that_cannot_enter_is_not_drawn(monkeypatch):
    gallery = Gallery(best=1, worst=1)
    show(gallery, "a", 0.1)
    show(gallery, "b", 0.9)
    monkeypatch.setattr("atonce.evaluation.gallery._draw", lambda *_: pytest.fail("drawn for nothing"))
    show(gallery, "c", 0.5)


def test_nan_is_neither_best_nor_worst(tmp_path):
    gallery = Gallery(best=2, worst=2)
    for name, score in (("void", math.nan), ("good", 0.9), ("empty", math.nan), ("bad", 0.1)):
        show(gallery, name, score)
    entries = gallery.save(tmp_path)
    assert (names(entries, "worst"), names(entries, "best")) == (["bad"], ["good"])


@pytest.mark.parametrize("count", range(8))
def test_no_picture_in_both_however_few(tmp_path, count):
    gallery = Gallery(best=2, worst=4)
    for i in range(count):
        show(gallery, f"p{i}", i / 10)
    shown = [entry["name"] for entry in gallery.save(tmp_path)]
    assert len(shown) == len(set(shown)) == min(count, 6)


def test_ties_do_not_depend_on_the_order_of_arrival(tmp_path):
    outcomes = set()
    for order in itertools.permutations("abcd"):
        gallery = Gallery(best=1, worst=2)
        for name in order:
            show(gallery, name, 0.5)
        outcomes.add(tuple((e["rank"], e["name"]) for e in gallery.save(tmp_path)))
    assert outcomes == {(("worst", "a"), ("worst", "b"), ("best", "d"))}


@pytest.mark.parametrize(("best", "worst"), [(0, 2), (2, 0), (0, 0)])
def test_none_wanted(tmp_path, best, worst):
    gallery = Gallery(best, worst)
    for i in range(4):
        show(gallery, f"p{i}", i / 10)
    entries = gallery.save(tmp_path)
    assert (len(names(entries, "best")), len(names(entries, "worst"))) == (best, worst)


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="worst=-1"):
        Gallery(worst=-1)


def test_large_panels_shrink_and_stay_divisible_by_three(tmp_path):
    gallery = Gallery(best=0, worst=1)
    show(gallery, "wide", 0.5, size=(100, 2048))
    with Image.open(tmp_path / gallery.save(tmp_path)[0]["picture"]) as picture:
        assert picture.size == (2400, 39)


def test_a_name_cannot_lead_out_of_the_folder(tmp_path):
    gallery = Gallery(best=0, worst=1)
    show(gallery, "../../etc/x", 0.5)
    assert gallery.save(tmp_path)[0]["picture"] == "gallery/worst_1_.._.._etc_x.jpg"


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path):
    gallery = Gallery()
    show(gallery, "a", 0.5)
    (tmp_path / "gallery").write_text("a file")
    with pytest.raises(StorageError, match="choose a folder"):
        gallery.save(tmp_path)
