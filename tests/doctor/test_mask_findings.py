"""Masks and files that go wrong in ways that people meet: what the doctor says of them, and of which."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from atonce.doctor import Examination, Finding, examine
from atonce.doctor.interpolation import border_statistics
from atonce.errors import DataError
from tests.data import trees
from tests.data.broken import train_on
from tests.doctor.scenes import BIG, regions, scenes, smooth
from tests.systems import needs_links

TWO = "classes: [{name: ground, value: 0}, {name: road, value: 255}]"


def two_classes(root: Path, high: int = 1, classes: str = "") -> Path:
    """images/ and masks/ of eight pictures; masks of 0 and `high`."""
    for i in range(8):
        trees.save(root / "images" / f"{i}.png", smooth(i))
        trees.save(root / "masks" / f"{i}.png", np.where(regions(i) > 3, high, 0).astype(np.uint8))
    if classes:
        (root / "classes.yaml").write_text(classes)
    return root


def found(examination: Examination, kind: str) -> Finding:
    findings = [finding for finding in examination.findings if finding.kind == kind]
    assert len(findings) == 1, [(f.severity, f.kind, f.found) for f in examination.findings]
    return findings[0]


def files(finding: Finding) -> list[str]:
    return sorted(file.path.name for file in finding.files)


def change(path: Path, how: Callable[[np.ndarray], np.ndarray]) -> None:
    trees.save(path, how(np.asarray(Image.open(path))))


def kinds(examination: Examination) -> set[str]:
    return {finding.kind for finding in examination.findings if finding.severity != "note"}


def test_masks_of_0_and_255_with_names_only_cannot_be_trained_on(tmp_path: Path) -> None:
    two_classes(tmp_path, 255, "[ground, road]")
    examination = examine(tmp_path)
    assert files(found(examination, "ends-only")) == [f"{i}.png" for i in range(8)]
    one = found(examination, "one-class")
    assert "shows ground and nothing else" in one.files[0].about and "value: 255" in one.remedy
    with pytest.raises(DataError, match=r"shows ground and nothing else .*value: 255"):
        train_on(tmp_path)


def test_the_same_masks_with_their_values_are_healthy(tmp_path: Path) -> None:
    assert kinds(examine(two_classes(tmp_path, 255, TWO))) == set()


def test_one_mask_of_0_and_255_among_others_of_0_and_1(tmp_path: Path) -> None:
    change(two_classes(tmp_path) / "masks" / "5.png", lambda mask: mask * 255)
    examination = examine(tmp_path)
    finding = found(examination, "ends-only")
    assert (finding.severity, files(finding)) == ("error", ["5.png"])
    assert "(0 and 1)" in finding.remedy and examination.wrong


def test_where_void_is_usual_0_and_255_is_a_warning(tmp_path: Path) -> None:
    two_classes(tmp_path)
    for name in ("1.png", "2.png"):
        change(tmp_path / "masks" / name, lambda mask: np.where(regions(1) == 0, 255, mask).astype(np.uint8))
    change(tmp_path / "masks" / "5.png", lambda mask: mask * 255)
    finding = found(examine(tmp_path), "ends-only")
    assert (finding.severity, files(finding)) == ("warning", ["5.png"])


def test_colours_and_numbers_in_one_data_set(tmp_path: Path) -> None:
    trees.folder_rgb(tmp_path)
    trees.save(tmp_path / "masks" / "street1.png", trees.ids(1, (0, 1, 2)))
    finding = found(examine(tmp_path), "mask-modes")
    assert (finding.severity, files(finding)) == ("warning", ["street1.png"])
    assert "4 RGB, 1 8-bit grey" in finding.found and finding.files[0].about == "is 8-bit grey"


def test_numbers_of_several_depths_are_healthy(tmp_path: Path) -> None:
    two_classes(tmp_path)
    change(tmp_path / "masks" / "1.png", lambda mask: mask.astype(np.uint16))
    Image.fromarray(regions(2) > 3).save(tmp_path / "masks" / "2.png")
    assert kinds(examine(tmp_path)) == set()


def test_jpeg_saved_again_as_png_is_not_to_be_named(tmp_path: Path) -> None:
    two_classes(tmp_path, 255, TWO)
    for path in sorted((tmp_path / "masks").iterdir())[:3]:
        stream = io.BytesIO()
        Image.open(path).save(stream, "JPEG", quality=80)
        Image.open(stream).save(path)
    examination = examine(tmp_path)
    finding = found(examination, "values")
    assert files(finding) == ["0.png", "1.png", "2.png"] and "come of interpolation or JPEG" in finding.remedy
    assert "unknown-values" not in kinds(examination) and "name: unknown" not in examination.classes_yaml


def test_one_forgotten_class_is_never_taken_for_interpolation(tmp_path: Path) -> None:
    """Small regions look like ramps along borders; a single value of no class has another reason all the same."""
    for i in range(4):
        trees.save(tmp_path / "images" / f"{i}.png", smooth(i))
        trees.save(tmp_path / "masks" / f"{i}.png", trees.ids(i, range(1, 6), BIG))
    (tmp_path / "classes.yaml").write_text("[a, b, c, d, e]")
    examination = examine(tmp_path)
    assert border_statistics(tmp_path, Image.open(tmp_path / "masks" / "0.png")).suspicious
    assert "interpolated" not in kinds(examination), "what is an error is not repeated as a warning"
    assert "classes.yaml" in found(examination, "values").remedy
    assert found(examination, "unknown-values").found.startswith("1 value of no class: 5 ")


def test_interpolated_masks_without_a_classes_file_have_their_regions_to_be_named_alone(tmp_path: Path) -> None:
    two_classes(tmp_path, 255)
    for path in (tmp_path / "masks").iterdir():
        image = Image.open(path).resize((61, 47), Image.Resampling.NEAREST)
        image.resize(BIG, Image.Resampling.BILINEAR).save(path)
    examination = examine(tmp_path)
    finding = found(examination, "classes")
    assert "interpolated" in finding.found and "nearest neighbour" in finding.remedy
    assert examination.classes_yaml.splitlines()[1:] == [
        "classes:",
        "  - {name: background, value: 0}",
        "  - {name: foreground, value: 255}",
    ]
    (tmp_path / "classes.yaml").write_text(examination.classes_yaml)
    assert kinds(examine(tmp_path)) == set()


def test_pictures_and_masks_swapped(tmp_path: Path) -> None:
    two_classes(tmp_path)
    (tmp_path / "images").rename(tmp_path / "other")
    (tmp_path / "masks").rename(tmp_path / "images")
    (tmp_path / "other").rename(tmp_path / "masks")
    examination = examine(tmp_path)
    finding = found(examination, "classes")
    assert re.search(r"8 of 8 .* \d{4,} different colours: pictures in the place of masks", finding.found)
    assert "swapped" in finding.remedy and examination.classes_yaml == ""


@pytest.mark.parametrize(("values", "where"), [((0, 4, 7, 8, 11, 17, 21, 23, 26, 33), "classes"), (range(34), "about")])
def test_label_ids_of_cityscapes_outside_their_folders(tmp_path: Path, values: list[int], where: str) -> None:
    two_classes(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        trees.save(path, trees.ids(0, values, BIG))
    told = [f"{f.found} {f.remedy}" for f in examine(tmp_path).findings if f.kind == where]
    assert any("Cityscapes' labelIds" in text and "trainIds" in text for text in told)


def test_a_picture_turned_within_its_size(tmp_path: Path) -> None:
    scenes(tmp_path)
    for name, orientation in (("001.png", 3), ("002.png", 1)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / "train" / "images" / name
        Image.open(path).save(path, exif=exif)
    finding = found(examine(tmp_path), "turned")
    assert (finding.severity, files(finding)) == ("warning", ["001.png"])


@needs_links
def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    two_classes(tmp_path)
    lost, round_ = tmp_path / "images" / "1.png", tmp_path / "masks" / "2.png"
    for path, target in ((lost, Path("gone") / "1.png"), (round_, round_)):
        path.unlink()
        path.symlink_to(target)
    examination = examine(tmp_path)
    missing, unreadable = found(examination, "missing"), found(examination, "unreadable")
    assert files(missing) == ["1.png"] and "is a link to gone/1.png, which does not exist" in missing.files[0].about
    assert "mend the link" in missing.remedy
    assert files(unreadable) == ["2.png"] and unreadable.files[0].about.count("2.png") == 0


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal is played."""
    locked, real = two_classes(tmp_path) / "images" / "3.png", Image.open

    def refusing(path: Path, *args: Any, **kwargs: Any) -> Image.Image:
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Image, "open", refusing)
    finding = found(examine(tmp_path), "unreadable")
    assert files(finding) == ["3.png"] and "permission denied" in finding.files[0].about
    assert "chmod" in finding.remedy


def test_names_that_nearly_pair(tmp_path: Path) -> None:
    masks = two_classes(tmp_path) / "masks"
    masks.joinpath("1.png").rename(masks / "A.png")
    (tmp_path / "images" / "1.png").rename(tmp_path / "images" / "a.png")
    (masks / "below").mkdir()
    masks.joinpath("2.png").rename(masks / "below" / "2.png")
    masks.joinpath("3.png").unlink()
    told = {
        f.path.relative_to(tmp_path).as_posix(): (f.about, finding.remedy)
        for finding in examine(tmp_path).findings
        if finding.kind == "unpaired"
        for f in finding.files
    }
    assert told.keys() == {"images/a.png", "masks/A.png", "images/2.png", "masks/below/2.png"}
    assert "(that of A.png differs in upper and lower case only)" in told["images/a.png"][0]
    assert "(that of 2.png differs in the folder only)" in told["masks/below/2.png"][0]
    assert told["masks/below/2.png"][1] == "rename or move one of the two"
    left_out = found(examine(tmp_path), "no-mask")
    assert files(left_out) == ["3.png"] and left_out.severity == "note"


def test_what_no_picture_is_and_odd_names_are_no_trouble(tmp_path: Path) -> None:
    two_classes(tmp_path)
    for folder in (tmp_path, tmp_path / "images", tmp_path / "masks"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._1.png"):
            (folder / name).write_bytes(b"x")
    for kind in ("images", "masks"):
        (tmp_path / kind / "1.png").rename(tmp_path / kind / "Straße nach Süden 雨.PNG")
        (tmp_path / kind / "day 2").mkdir()
        (tmp_path / kind / "2.png").rename(tmp_path / kind / "day 2" / "2.png")
    examination = examine(tmp_path)
    assert kinds(examination) == set()
    assert sum(s.masks for s in examination.statistics.values()) == 8
