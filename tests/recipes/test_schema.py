"""The schema: what a variant of the network implies is said by its config."""

from __future__ import annotations

from typing import Literal

import pytest

from atonce.recipes import FCNConfig


@pytest.mark.parametrize(("stride", "skips"), [(8, (4, 3)), (16, (4,)), (32, ())])
def test_a_variant_says_which_pools_it_scores(stride: Literal[8, 16, 32], skips: tuple[int, ...]) -> None:
    assert FCNConfig(stride=stride).skips == skips


def test_a_variant_says_whether_it_has_caffes_geometry() -> None:
    assert FCNConfig(alignment="caffe").caffe_geometry
    assert not FCNConfig().caffe_geometry


def test_what_a_variant_implies_is_no_knob() -> None:
    assert not {"skips", "caffe_geometry"} & FCNConfig().model_dump().keys()
