"""Names of pictures and masks that differ: what is seen through and said, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from atonce.data.pairing import Pairing, list_lines, listed_file, pair


def _pair(images: Sequence[str], masks: Sequence[str]) -> Pairing:
    return pair({name: Path(f"{name}.jpg") for name in images}, {name: Path(f"{name}.png") for name in masks})


SEEN = {
    "as they are": (["a", "b"], ["a", "b"], ""),
    "an ending of tools": (["a", "b"], ["a_mask", "b_mask"], "the picture NAME has the mask NAME_mask"),
    "another ending": (["a", "b"], ["a_P", "b_P"], "the picture NAME has the mask NAME_P"),
    "a prefix": (["a", "b"], ["gt-a", "gt-b"], "the picture NAME has the mask gt-NAME"),
    "both prefixes": (
        ["image_0", "image_1", "image_10"],
        ["mask_0", "mask_1", "mask_10"],
        "imageNAME has the mask mask",
    ),
    "one letter more in common": (["image_00", "image_01"], ["mask_00", "mask_01"], "imageNAME has the mask maskNAME"),
    "a prefix of pictures": (["rgb_7", "rgb_8"], ["7", "8"], "the picture rgb_NAME has the mask NAME"),
    "both suffixes": (["a_rgb", "b_rgb"], ["a_gt", "b_gt"], "the picture NAME"),
    "Cityscapes' own": (
        ["x/a_1_leftImg8bit", "x/a_2_leftImg8bit"],
        ["x/a_1_gtFine_labelTrainIds", "x/a_2_gtFine_labelTrainIds"],
        "NAMEleftImg8bit has the mask NAMEgtFine_labelTrainIds",
    ),
    "the suffix of the picture's file": (["0", "1", "10"], ["0.jpg", "1.jpg", "10.jpg"], "the mask NAME.jpg"),
    "numbers that hold each other": (["1", "11", "111"], ["1_m", "11_m", "111_m"], "the mask NAME_m"),
}


@pytest.mark.parametrize("case", SEEN)
def test_what_is_common_to_a_side_is_seen_through_and_said(case: str) -> None:
    images, masks, said = SEEN[case]
    found = _pair(images, masks)
    assert [(image.stem, mask.stem) for _, image, mask in found.pairs] == [
        (Path(image).name, Path(mask).name) for image, mask in sorted(zip(images, masks, strict=True))
    ]
    assert [key for key, _, _ in found.pairs] == sorted(images) and not found.problems
    assert found.notes == [] if not said else said in found.notes[0]


REFUSED = {
    "frames that follow each other": (["frame_10", "frame_11"], ["frame_20", "frame_21"]),
    "numbers": (["1", "2", "3"], ["11", "12", "13"]),
    "other names": (["a", "b", "c"], ["x", "y", "z"]),
    "cameras": (["cam1_a", "cam1_b"], ["cam2_a", "cam2_b"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_numbers_are_never_cut_through(case: str) -> None:
    found = _pair(*REFUSED[case])
    assert found.pairs == [] and found.notes == []
    assert {problem.kind for problem in found.problems} == {"unpaired"}


def test_masks_without_the_common_suffix_are_told() -> None:
    found = _pair(["a", "b", "c"], ["a_P", "b_P", "d_P"])
    assert len(found.pairs) == 2 and "NAME_P" in found.notes[0]
    assert [(problem.kind, problem.path.name) for problem in found.problems] == [
        ("no-mask", "c.jpg"),
        ("unpaired", "d_P.png"),
    ]


LINES = {
    "2007_000032": ("2007_000032",),
    "cam.front.0001": ("cam.front.0001",),
    "a.jpg a.png": ("a.jpg", "a.png"),
    "train\\my picture.PNG trainannot\\my picture.png": ("train/my picture.PNG", "trainannot/my picture.png"),
    '"/default/a b.jpg" "defaultannot/a b.png"': ("/default/a b.jpg", "defaultannot/a b.png"),
    "a 1 -1": ("a", "1", "-1"),
}


@pytest.mark.parametrize("line", LINES)
def test_lines_of_lists(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(f"# a comment\n\n{line}\n")
    (found,) = list_lines(tmp_path / "list.txt")
    assert found.number == 3 and found.names == LINES[line]


def test_files_of_a_list_are_found_by_the_end_of_their_paths(tmp_path: Path) -> None:
    path = tmp_path / "train" / "cam 1" / "0.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert listed_file(tmp_path, "/home/me/SegNet/train/cam 1/0.png") == path
    assert listed_file(tmp_path, "/SegNet/CamVid/val/1.png") == tmp_path / "val" / "1.png"
