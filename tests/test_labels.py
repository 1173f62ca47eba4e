"""Names, colours, and what may not be a list of classes."""

from __future__ import annotations

import numpy as np
import pytest

from atonce.labels import CAMVID, IGNORE_INDEX, KITTI_ROAD, LabelSpec


@pytest.mark.parametrize("spec", [CAMVID, KITTI_ROAD, LabelSpec.from_names([f"c{i}" for i in range(255)])])
def test_json_and_back_is_the_same(spec: LabelSpec) -> None:
    assert LabelSpec.from_json(spec.to_json()) == spec
    assert spec.to_json()["ignore_index"] == IGNORE_INDEX == 255


@pytest.mark.parametrize(
    ("names", "palette", "message"),
    [
        ((), (), "0 classes; expected 1 to 255"),
        (tuple(map(str, range(256))), ((0, 0, 0),) * 256, "256 classes"),
        (("a", "b", "a"), ((0, 0, 0),) * 3, "not unique"),
        (("a", "b"), ((0, 0, 0),), "1 colours for 2"),
    ],
)
def test_what_cannot_be_classes_is_refused(
    names: tuple[str, ...], palette: tuple[tuple[int, int, int], ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LabelSpec(names, palette)


def test_generated_colours_are_apart_and_never_black() -> None:
    for count in (1, 2, 11, 21):
        palette = np.array(LabelSpec.from_names([str(i) for i in range(count)]).palette)
        assert (palette.max(1) > 100).all()
        distances = np.abs(palette[:, None] - palette[None]).sum(2) + 1000 * np.eye(count)
        assert distances.min() > 20


def test_ids_become_their_colours_and_void_becomes_black() -> None:
    ids = np.array([[0, 10, 255, 77]], np.uint8)
    assert CAMVID.colour(ids).tolist() == [[list(CAMVID.palette[0]), list(CAMVID.palette[10]), [0, 0, 0], [0, 0, 0]]]
    assert CAMVID.lookup().shape == (256, 3)
