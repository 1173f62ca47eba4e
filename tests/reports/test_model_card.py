"""The model card: the file's own numbers with their split, seed and commit; nothing of the machine, no markup of a stranger."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import atonce as package
from atonce.errors import DataError
from atonce.inference import load
from atonce.labels import LabelSpec
from atonce.model_file import load_model_file, read_metadata
from atonce.provenance import source_commit
from atonce.reports.model_card import render_card
from atonce.storage import sha256_of
from tests.commands import Command
from tests.networks import small_model_file


def front_matter(card: str) -> dict[str, object]:
    _, block, _ = card.split("---\n", 2)
    return dict(yaml.safe_load(block))


def test_every_number_is_the_files_own(tiny_run: Path) -> None:
    path = tiny_run / "model.safetensors"
    card, described = package.card(tiny_run), read_metadata(path)
    scores = described["scores"]
    assert f"| {scores['mean_iou']:.3f} | {scores['pixel_accuracy']:.3f} |" in card
    for row in scores["classes"]:
        iou = "–" if row["iou"] is None else f"{row['iou']:.3f}"
        assert f"| {row['name']} | {iou} |" in card
    assert "**validation** of the data below, 3 pictures" in card
    assert f"(step 4, seed {described['recipe']['train']['seed']}, commit {source_commit()})" in card
    assert described["training_data"]["fingerprint"] in card
    assert sha256_of(path) in card and f"| {path.stat().st_size} |" in card
    assert f"# {tiny_run.name}\n" in card
    assert front_matter(card)["pipeline_tag"] == "image-segmentation"
    assert "license" not in front_matter(card) and "Not stated." in card


def test_weak_and_absent_classes_are_named() -> None:
    file = small_model_file(labels=LabelSpec.from_names(["road", "pole", "sky"]))
    file.scores = {
        "split": "val",
        "mean_iou": 0.6,
        "absent": ["sky"],
        "classes": [{"name": "road", "iou": 0.9}, {"name": "pole", "iou": 0.11}, {"name": "sky", "iou": None}],
    }
    card = render_card(file, name="x")
    assert "(IoU below 0.5): pole 0.11." in card
    assert "no picture shows them: sky." in card


def test_what_a_file_does_not_say_is_said_to_be_unknown() -> None:
    file = replace(small_model_file(), scores={}, recipe={}, training_data={})
    card = render_card(file, name="x")
    assert "The file holds none." in card and "The file does not say." in card and "no recipe" in card


def test_a_card_tells_nothing_of_the_machine(tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    command = "atonce train /home/me/secret/data --weights ~/vgg.pth --set distill.teacher=/srv/teacher.safetensors"
    about = {"command": command, "commit": "abc", "minutes": 2.5, "sessions": [{}], "folder": "/home/me"}
    (run / "run.json").write_text(json.dumps(about))
    file = load_model_file(run / "model.safetensors")
    file.recipe["weights"] = "/home/me/vgg.pth"
    file.training_data["notes"] = ["classes from the labels; /home/me/a b/classes.yaml can rename them"]
    file.save(run / "model.safetensors")
    card = package.card(run)
    assert "atonce train data --weights vgg.pth --set distill.teacher=teacher.safetensors" in card
    assert "weights: vgg.pth" in card
    assert "- classes from the labels; classes.yaml can rename them" in card
    assert "/home" not in card and "/srv" not in card and str(tmp_path) not in card


def test_names_of_a_stranger_are_no_markup() -> None:
    names = ["a|b", "<script>alert(1)</script>", "![x](http://evil)", "two\nlines", "\x1b[31mred"]
    file = small_model_file(labels=LabelSpec.from_names(names))
    file.scores = {"split": "```", "mean_iou": 0.5, "classes": [{"name": name, "iou": 0.1} for name in names]}
    file.recipe = {"weights": "```\n# title"}
    card = render_card(file, name="# x")
    assert "<script>" not in card and "![x](" not in card and "\x1b" not in card and "\n# title" not in card
    assert "| a\\|b | 0.100 |" in card and "two lines" in card
    assert card.count("\n# ") == 1 and card.count("```") % 2 == 0


def test_the_command_prints_what_python_returns(atonce: Command, tiny_run: Path, tmp_path: Path) -> None:
    words = ("card", tiny_run, "--name", "mine", "--licence", "CC-BY-4.0")
    expected = package.card(tiny_run, name="mine", licence="CC-BY-4.0")
    assert atonce(*words).out == expected
    assert front_matter(expected)["license"] == "cc-by-4.0"
    assert json.loads(atonce(*words, "--json").out) == {"path": None, "card": expected}
    out = tmp_path / "README.md"
    assert atonce(*words, "--out", out).code == 0
    assert out.read_text("utf-8") == expected
    assert "is there already" in atonce(*words, "--out", out).mistake
    with pytest.raises(DataError, match="is there already"):
        package.card(tiny_run, out=out)


def test_a_loaded_model_and_an_exported_file_have_a_card(tiny_run: Path, tmp_path: Path) -> None:
    assert "FCN-8s on VGG-16" in package.card(load(tiny_run))
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    package.export(tiny_run, to="onnx", out=tmp_path / "small.onnx")
    card = package.card(tmp_path / "small.onnx")
    assert card.startswith("---") and "# small\n" in card and sha256_of(tmp_path / "small.onnx") in card


def test_a_name_of_several_lines_stays_in_its_block() -> None:
    card = render_card(small_model_file(), name="x\n```\n<img src=y>\n```")
    assert card.count("\n```") == 2 * (1 + card.count("\n```python") + card.count("\n```yaml"))
    assert "\n<img" not in card


def test_numbers_that_no_float_holds_are_unknown(tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    (run / "run.json").write_text(json.dumps({"sessions": [], "minutes": 10**400}))
    assert "| minutes |" not in package.card(run)
    model_file = small_model_file()
    model_file = replace(
        model_file, scores={"mean_iou": 10**400, "classes": [{"name": "a", "iou": 0.5, "pixels": 10**400}]}
    )
    assert "## Scores" in render_card(model_file, name="x")
