"""`write_fixed_masks` writes masks without soft borders; `write_classes_file` never writes what is refused."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.data.classes_file import read_classes
from atonce.data.formats import open_dataset
from atonce.doctor import examine, write_classes_file, write_fixed_masks
from atonce.errors import DataError
from tests.data import trees
from tests.data.broken import train_on
from tests.data.painted import COLOURS, GREYS, paint, painted_folder
from tests.data.test_soft_borders import NAMED, NUMBERED


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("colour", [True, False])
def test_a_corrected_copy_is_clean_and_the_originals_stay(colour: bool, tmp_path: Path) -> None:
    root = painted_folder(tmp_path / "data", colour=colour)
    (root / "classes.yaml").write_text(NAMED if colour else NUMBERED)
    before = _digests(root / "masks")
    fixed = write_fixed_masks(root, tmp_path / "out")
    assert (fixed.masks, fixed.changed, fixed.broken, fixed.classes_file) == (8, 8, (), None)
    assert _digests(root / "masks") == before
    shutil.rmtree(root / "masks")
    shutil.move(tmp_path / "out" / "masks", root / "masks")
    examination = examine(root)
    assert not examination.wrong and examination.count("warning") == 0
    shown: set[object] = set()
    for path in (root / "masks").iterdir():
        pixels = np.asarray(Image.open(path))
        shown |= set(map(tuple, pixels.reshape(-1, 3).tolist())) if colour else set(pixels.ravel().tolist())
    assert shown == set(COLOURS if colour else GREYS)


def test_without_a_classes_file_the_classes_are_made_out(tmp_path: Path) -> None:
    root = painted_folder(tmp_path / "data")
    fixed = write_fixed_masks(root, tmp_path / "out")
    assert fixed.classes_file == tmp_path / "out" / "classes.yaml" and fixed.changed == 8
    assert read_classes(fixed.classes_file).labels.num_classes == 10
    assert not (root / "classes.yaml").exists()


def test_what_training_reads_with_the_rule_is_what_is_written(tmp_path: Path) -> None:
    root = painted_folder(tmp_path / "data")
    (root / "classes.yaml").write_text(f"borders: nearest\n{NAMED}")
    by_rule = [open_dataset(root).read_mask(path) for path in sorted((root / "masks").iterdir())]
    write_fixed_masks(root, tmp_path / "out")
    (root / "classes.yaml").write_text(NAMED)
    written = [open_dataset(root).read_mask(path) for path in sorted((tmp_path / "out" / "masks").iterdir())]
    assert all(np.array_equal(one, two) for one, two in zip(by_rule, written, strict=True))


def test_borders_to_void_need_a_void(tmp_path: Path) -> None:
    root = painted_folder(tmp_path / "data", 2)
    (root / "classes.yaml").write_text(NAMED)
    fixed = write_fixed_masks(root, tmp_path / "out", borders="void")
    assert len(fixed.broken) == 2 and "no value or colour means void" in str(fixed.broken[0])
    (root / "classes.yaml").write_text(NAMED + "  - {name: void, colour: [255, 255, 255], void: true}\n")
    fixed = write_fixed_masks(root, tmp_path / "again", borders="void", border_width=2)
    assert fixed.broken == () and (fixed.rule.to, fixed.rule.width) == ("void", 2)
    mask = open_dataset(root).read_mask(tmp_path / "again" / "masks" / "0.png")
    assert (mask == 255).any() and (mask == paint(0, how=None))[mask != 255].mean() > 0.999


@pytest.mark.parametrize("kind", ["colours", "greys", "background and foreground"])
def test_borders_become_void_without_a_classes_file_too(kind: str, tmp_path: Path) -> None:
    root = painted_folder(
        tmp_path / "data", 8, 10 if kind != "background and foreground" else 2, colour=kind == "colours"
    )
    if kind == "background and foreground":
        for path in (root / "masks").iterdir():
            trees.save(path, (np.asarray(Image.open(path)).astype(int) * 255 // 25).astype(np.uint8))
    fixed = write_fixed_masks(root, tmp_path / "out", borders="void")
    assert fixed.broken == () and fixed.changed == 8 and fixed.classes_file is not None
    shutil.move(fixed.classes_file, root / "classes.yaml")
    shutil.rmtree(root / "masks")
    shutil.move(tmp_path / "out" / "masks", root / "masks")
    dataset = open_dataset(root)
    assert dataset.labels.num_classes == (2 if kind == "background and foreground" else 10)
    shares = [(dataset.read_mask(path) == 255).mean() for path in (root / "masks").iterdir()]
    assert min(shares) > 0 and max(shares) < 0.1
    # A line of void between two regions was drawn: our own output is not to be exported again.
    assert not [f for f in examine(root).findings if f.kind in ("interpolated", "compressed")]


def test_masks_that_are_right_are_copied_as_they_are(tmp_path: Path) -> None:
    root = trees.folder_palette(tmp_path / "data")
    fixed = write_fixed_masks(root, tmp_path / "out")
    assert (fixed.masks, fixed.changed) == (5, 0)
    assert _digests(tmp_path / "out" / "masks") == _digests(root / "masks")


def test_nothing_is_overwritten_and_nothing_else_is_taken_for_a_border(tmp_path: Path) -> None:
    root = painted_folder(tmp_path / "data", 3)
    (root / "classes.yaml").write_text(NAMED)
    with pytest.raises(DataError, match="is there already"):
        write_fixed_masks(root, root)
    mask = np.array(Image.open(root / "masks" / "1.png"))
    mask[20:60, 20:60] = (1, 2, 250 - 99)
    trees.save(root / "masks" / "1.png", mask)
    fixed = write_fixed_masks(root, tmp_path / "out")
    (error,) = fixed.broken
    assert "1.png holds (1, 2, 151)" in str(error) and "more than 3 pixels away from every class" in str(error)
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["0.png", "2.png"]


def test_a_layout_that_is_not_read_by_values_says_so(tmp_path: Path) -> None:
    trees.kitti_road(tmp_path / "data")
    with pytest.raises(DataError, match="masks of format 'kitti-road' are not read by values or colours of classes"):
        write_fixed_masks(tmp_path / "data", tmp_path / "out")


def test_the_remedy_is_one_in_training_and_in_the_doctor(tmp_path: Path) -> None:
    root = painted_folder(tmp_path)
    (root / "classes.yaml").write_text(NAMED)
    (finding,) = [f for f in examine(root).findings if f.kind == "values"]
    with pytest.raises(DataError) as caught:
        train_on(root)
    assert "`borders: nearest` in classes.yaml reads them as the nearest class" in finding.remedy
    assert f"-> {finding.remedy}" in str(caught.value)


def test_errors_are_not_repeated_as_warnings(tmp_path: Path) -> None:
    root = painted_folder(tmp_path)
    (root / "classes.yaml").write_text(NAMED)
    kinds = {f.kind for f in examine(root).findings}
    assert "values" in kinds and not kinds & {"interpolated", "compressed", "unknown-values"}
    (root / "classes.yaml").write_text(f"borders: nearest\n{NAMED}")
    examination = examine(root)
    assert {f.severity for f in examination.findings} == {"note"}
    (finding,) = [f for f in examination.findings if f.kind == "soft-borders"]
    assert finding.count == 8 and finding.files[0].about.endswith(" pixels")


def test_a_forgotten_class_among_soft_borders_is_proposed_alone(tmp_path: Path) -> None:
    root = painted_folder(tmp_path)
    (root / "classes.yaml").write_text(NAMED.replace("  - {name: c9, colour: [0, 128, 64]}\n", ""))
    examination = examine(root)
    (finding,) = [f for f in examination.findings if f.kind == "unknown-values"]
    assert finding.found.startswith("1 value of no class: (0, 128, 64) ")
    assert examination.classes_yaml.count("unknown") == 2, "one, and the word in the head"
    (root / "classes.yaml").write_text(examination.classes_yaml)
    assert not examine(root).wrong


class TestClassesFiles:
    """What `write_classes_file` writes is read by us, or it says why there is nothing to write."""

    def test_numbers_that_no_class_can_have_are_void(self, tmp_path: Path) -> None:
        trees.folder(tmp_path, values=(0, 1, 2))
        for i in range(5):
            mask = trees.ids(i, (0, 1, 2)).astype(np.int32)
            mask[:4] = -9999
            (tmp_path / "masks" / f"street{i}.png").unlink()
            trees.save(tmp_path / "masks" / f"street{i}.tif", mask)
        with pytest.raises(DataError, match=r"hold -9999 .*pixels without data, it seems.*value: -9999, void: true"):
            open_dataset(tmp_path)
        assert not write_classes_file(tmp_path, tmp_path / "classes.yaml").wrong
        ids = open_dataset(tmp_path).read_mask(tmp_path / "masks" / "street0.tif")
        assert (ids[:4] == 255).all() and set(np.unique(ids[4:])) == {0, 1, 2}

    def test_such_numbers_beside_a_classes_file(self, tmp_path: Path) -> None:
        trees.folder(tmp_path, values=(0, 1))
        (tmp_path / "classes.yaml").write_text("[a, b]")
        mask = trees.ids(0, (0, 1)).astype(np.int32)
        mask[:2], mask[2:6] = 70000, -9999
        (tmp_path / "masks" / "street0.png").unlink()
        trees.save(tmp_path / "masks" / "street0.tif", mask)
        (tmp_path / "new.yaml").write_text(examine(tmp_path).classes_yaml)
        table = read_classes(tmp_path / "new.yaml")
        assert table.labels.names == ("a", "b") and {(-9999, 255), (70000, 255)} <= set(table.values)
        (tmp_path / "new.yaml").rename(tmp_path / "classes.yaml")
        assert not examine(tmp_path).wrong

    def test_more_colours_than_there_can_be_classes(self, tmp_path: Path) -> None:
        colours = {i: (i % 7 * 40, i // 7 % 7 * 40, i // 49 * 40) for i in range(256)}
        for i in range(4):
            trees.save(tmp_path / "images" / f"{i}.png", trees.picture(i, (96, 96)))
            trees.save(
                tmp_path / "masks" / f"{i}.png",
                trees.colours(np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(6, 0).repeat(6, 1), colours),
            )
        with pytest.raises(DataError) as caught:
            write_classes_file(tmp_path, tmp_path / "classes.yaml")
        assert "256 different colours" in str(caught.value) and "of a layout with classes of its own" not in str(
            caught.value
        )
        assert not (tmp_path / "classes.yaml").exists()

    def test_photographs_instead_of_masks(self, tmp_path: Path) -> None:
        trees.folder(tmp_path)
        for i in range(5):
            trees.save(tmp_path / "masks" / f"street{i}.png", trees.picture(i))
        with pytest.raises(DataError, match="different colours: pictures in the place of masks") as caught:
            write_classes_file(tmp_path, tmp_path / "classes.yaml")
        assert "classes of its own" not in str(caught.value)

    def test_a_folder_that_is_no_data_set(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("x")
        with pytest.raises(DataError, match=r"holds notes\.txt, which is no layout known"):
            write_classes_file(tmp_path, tmp_path / "classes.yaml")

    def test_sixty_classes_are_all_proposed(self, tmp_path: Path) -> None:
        colours = {i: (i * 4, 255 - i * 4, i * 37 % 256) for i in range(60)}
        for i in range(4):
            trees.save(tmp_path / "images" / f"{i}.png", trees.picture(i, (60, 60)))
            mask = np.random.default_rng(i).permutation(60).astype(np.uint8).reshape(6, 10).repeat(10, 0).repeat(6, 1)
            trees.save(tmp_path / "masks" / f"{i}.png", trees.colours(mask, colours))
        assert not write_classes_file(tmp_path, tmp_path / "classes.yaml").wrong
        assert open_dataset(tmp_path).labels.num_classes == 60


def test_masks_with_soft_borders_are_one_error_of_a_few_lines(tmp_path: Path) -> None:
    """Mixtures are not listed one by one, and that no mask can be read then is no error of its own."""
    root = painted_folder(tmp_path, pictures=20)
    (root / "classes.yaml").write_text(NAMED)
    errors = [finding for finding in examine(root).findings if finding.severity == "error"]
    assert [finding.kind for finding in errors] == ["values"]
    assert all(file.about.count("pixel") == 2 and " more; expected" in file.about for file in errors[0].files)
    with pytest.raises(DataError) as caught:
        train_on(root)
    lines = str(caught.value).splitlines()
    assert len(lines) == 8 and lines[-2] == "  ... and 15 more of this kind (values)"
    assert max(map(len, lines[:-1])) < 160
    assert "`borders: nearest` in classes.yaml" in lines[-1]
