"""The sensor: what a pixel of the mask is when several things lie in it."""

from __future__ import annotations

import numpy as np

from atonce.streets.canvas import VOID
from atonce.streets.sensor import majority_vote


def test_majority_vote_takes_the_majority_and_void_where_there_is_none() -> None:
    nine = np.array([[2, 2, 2, 0, 1, 2], [2, 2, 0, 3, 4, 5], [0, 0, 0, 6, 7, 8]], np.uint8)
    assert majority_vote(nine).tolist() == [[2, VOID]]
