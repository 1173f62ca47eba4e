"""Counting and listing in sentences."""

from __future__ import annotations

import pytest

from atonce.text import count_of, did_you_mean, listing


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("picture",), "0 pictures"),
        (1, ("picture",), "1 picture"),
        (2, ("picture",), "2 pictures"),
        (1, ("class", "classes"), "1 class"),
        (3, ("class", "classes"), "3 classes"),
    ],
)
def test_a_number_agrees_with_its_noun(number: int, words: tuple[str, ...], text: str) -> None:
    assert count_of(number, *words) == text


@pytest.mark.parametrize(
    ("names", "limit", "text"),
    [
        ([], 5, ""),
        (["a"], 5, "a"),
        (["a", "b"], 2, "a, b"),
        (["a", "b", "c"], 2, "a, b and 1 more"),
        (range(12), 3, "0, 1, 2 and 9 more"),
    ],
)
def test_a_listing_says_how_many_it_leaves_out(names: list[object], limit: int, text: str) -> None:
    assert listing(names, limit) == text


def test_the_nearest_name_is_asked_for_and_none_where_none_is_near() -> None:
    assert did_you_mean("camvod", ["voc", "camvid", "kitti-road"]) == "did you mean 'camvid'?"
    assert did_you_mean("zebra", ["voc", "camvid"]) == ""
    assert did_you_mean("camvod", []) == ""
