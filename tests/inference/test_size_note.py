"""A network sees things at the size that it was trained on: what is far from that is said, and can be mended."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import atonce as package
from atonce.data.input_size import InputSize
from atonce.errors import UserError, as_python
from atonce.inference import load
from atonce.labels import KITTI_ROAD
from atonce.model import FCN
from atonce.model_file import ModelFile, load_model_file
from atonce.recipes import FCNConfig, load_recipe
from tests.commands import Command
from tests.data import trees


def save_kitti(
    path: Path, *, scale: float = 0.5, max_side: int | None = None, zoom: tuple[float, float] = (1, 1)
) -> Path:
    """A network that was trained on pictures of 1242x375, in half size."""
    torch.manual_seed(0)
    network = FCN(FCNConfig(stride=32, width=0.05, head_width=4), 2)
    recipe = load_recipe("kitti-road", [f"data.scale={scale}", f"augment.scale=[{zoom[0]},{zoom[1]}]"])
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"max_side": max_side})})
    sizes = {"smallest": [1226, 370], "median": [1242, 375], "largest": [1242, 376]}
    ModelFile(
        network,
        KITTI_ROAD,
        InputSize(scale, max_side),
        training_data={"picture_sizes": sizes},
        recipe=recipe.model_dump(mode="json"),
    ).save(path)
    return path


NOTE = (
    "620x188 pixels, much smaller than the pictures that the model was trained on (1242x375): if the same scene is "
    "shown, the network sees it as in training at 1 times this size (scale='1')"
)

WHERE = "on cpu (1 thread), torch"
TYPED = NOTE.replace("scale='1'", "--scale 1")


def test_half_size_pictures_are_told(tmp_path: Path) -> None:
    predictor = load(save_kitti(tmp_path / "model.safetensors"))
    assert as_python(str(predictor.size_note((188, 620)))) == NOTE
    assert predictor.size_note((375, 1242)) is None
    assert predictor.size_note((320, 1000)) is None
    assert "much larger" in str(predictor.size_note((1080, 3840)))
    result = predictor(np.zeros((188, 620, 3), np.uint8))
    assert result.notes == (NOTE,)
    assert NOTE in repr(result)


def test_a_scale_or_size_mends_it(tmp_path: Path) -> None:
    path = save_kitti(tmp_path / "model.safetensors")
    picture = np.random.default_rng(0).integers(0, 256, (188, 620, 3), dtype=np.uint8)
    for options, seen in (({"scale": 1.0}, (188, 620)), ({"size": 620}, (188, 620)), ({"size": 1240}, (376, 1240))):
        predictor = load(path, **options)
        assert predictor.model_file.input_size.apply(188, 620) == seen
    assert load(path, scale=1).size_note((188, 620)) is None
    assert load(path, scale=1)(picture).labels.shape == (188, 620)
    assert load(path).model_file.input_size == InputSize(0.5), "the file's own rule"
    whole = load(save_kitti(tmp_path / "whole.safetensors", scale=1.0))
    np.testing.assert_array_equal(load(path, size=620)(picture).labels, whole(picture).labels)


def test_with_a_scale_of_ones_own_what_the_network_sees_is_compared(tmp_path: Path) -> None:
    told = load(save_kitti(tmp_path / "model.safetensors"), scale=2).size_note((188, 620))
    assert told is not None and told.startswith(
        "620x188 pixels, which the network sees at 1240x376, much larger than the pictures in training (621x188): "
    )


def test_zoom_in_training_and_a_longest_side_count(tmp_path: Path) -> None:
    zoomed = load(save_kitti(tmp_path / "a.safetensors", zoom=(0.5, 2)))
    assert zoomed.size_note((188, 620)) is None
    assert zoomed.size_note((80, 260)) is not None
    limited = load(save_kitti(tmp_path / "b.safetensors", scale=1.0, max_side=600))
    assert limited.size_note((3750, 12420)) is None, "scaled down to the same"


def test_the_shape_that_the_network_sees_can_be_named(tmp_path: Path, atonce: Command) -> None:
    path = save_kitti(tmp_path / "model.safetensors")
    picture = np.random.default_rng(0).integers(0, 256, (188, 620, 3), dtype=np.uint8)
    predictor = load(path, size=(160, 576))
    assert predictor.model_file.input_size == InputSize(size=(160, 576))
    assert predictor(picture).labels.shape == (188, 620)
    trees.save(tmp_path / "a.png", picture)
    done = atonce("predict", path, tmp_path / "a.png", "--out", tmp_path / "out", "--size", "576x160")
    assert done.code == 0, done.err
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/labels/a.png")), predictor(picture).labels)
    told = atonce("predict", path, tmp_path / "a.png", "--out", tmp_path / "out", "--size", "576").mistake
    assert "was made by another model or with other options" in told
    for wrong in ("576*160", "0", "-3", "576x", "1x2x3", "wide"):
        told = atonce("predict", path, tmp_path / "a.png", "--size", wrong).mistake
        assert wrong in told and "expected pixels: the longer side, such as 640, or width and height, 640x192" in told


def test_a_network_that_was_trained_at_an_exact_size_sees_all_pictures_so(tmp_path: Path) -> None:
    path = save_kitti(tmp_path / "model.safetensors", scale=1.0)
    known = load_model_file(path)
    recipe = {**known.recipe, "data": {**known.recipe["data"], "size": [160, 576]}}
    replace(known, input_size=InputSize(size=(160, 576)), recipe=recipe).save(path)
    assert load(path).size_note((375, 1242)) is None and load(path).size_note((188, 620)) is None
    assert load(path, size=(80, 288)).size_note((375, 1242)) is not None


@pytest.mark.parametrize("metric", ["classes", "road"])
def test_evaluate_tells_it_too(atonce: Command, tmp_path: Path, metric: str) -> None:
    path = save_kitti(tmp_path / "model.safetensors")
    data = trees.kitti_road(tmp_path / "data")
    words = ("evaluate", path, data, "--quick", "--split", "all", "--metric", metric)
    told = " ".join(atonce(*words).err.split())
    assert re.search(
        r"\d+ pictures of 36x24 pixels, much smaller than the pictures that the model was trained on", told
    )
    with pytest.warns(UserWarning, match="much smaller than the pictures"):
        package.evaluate(path, data, quick=True, split="all", progress=False)


def test_models_that_do_not_say_what_they_were_trained_on_say_nothing(tiny_model: Path, tmp_path: Path) -> None:
    predictor = load(tiny_model)
    assert predictor.model_file.training_data["picture_sizes"]["median"] == [64, 48]
    for sizes in (None, {}, {"smallest": 3}, {"smallest": [0, 0], "median": [0, 0], "largest": ["x", 1]}):
        predictor.model_file.training_data["picture_sizes"] = sizes
        assert predictor.size_note((2000, 2000)) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 1.0, "size": 640}, r"scale='1\.0' and size='640'; expected one of them"),
        ({"scale": 0.0}, r"scale='0\.0'; expected a factor above 0"),
        ({"scale": math.nan}, "expected a factor above 0"),
        ({"scale": 1000.0}, "up to 16"),
        ({"size": 0}, r"size='0'; expected pixels: the longer side"),
        ({"size": (0, 5)}, r"size='5x0'; expected pixels: the longer side"),
    ],
)
def test_impossible_scales_and_sizes_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(save_kitti(tmp_path / "model.safetensors"), **options)


def test_what_has_its_size_built_in_says_so(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    path = save_kitti(tmp_path / "model.safetensors")
    package.export(path, to="onnx")
    with pytest.raises(UserError, match=r"`scale` or `size` for .*model\.onnx; expected a model file"):
        load(tmp_path / "model.onnx", scale=1)
    with pytest.raises(UserError, match="for a model that is loaded already"):
        load(load(path), size=640)
    assert as_python(str(load(tmp_path / "model.onnx").size_note((188, 620)))) == NOTE


def test_predict_tells_it_once_for_all_pictures_and_takes_a_scale(atonce: Command, tmp_path: Path) -> None:
    path = save_kitti(tmp_path / "model.safetensors")
    for index in range(3):
        trees.save(tmp_path / "in" / f"{index}.png", trees.picture(index, (620, 188)))
    done = atonce("predict", path, tmp_path / "in", "--out", tmp_path / "out")
    assert done.code == 0
    assert done.err.splitlines() == [WHERE, f"3 pictures of {TYPED}, with --overwrite or another --out"]
    told = atonce("predict", path, tmp_path / "in", "--out", tmp_path / "out", "--scale", 1).mistake
    assert "other options; expected results of this model and these options, to go on with; choose another" in told
    followed = atonce("predict", path, tmp_path / "in", "--out", tmp_path / "out", "--scale", 1, "--overwrite")
    assert (followed.code, followed.err.splitlines()) == (0, [WHERE]), "what was advised can be done"
    scaled = atonce("predict", path, tmp_path / "in", "--out", tmp_path / "scaled", "--scale", 1)
    assert (scaled.code, scaled.err.splitlines()) == (0, [WHERE])
    assert load_model_file(path).input_size == InputSize(0.5)


def test_videos_tell_it_too(tmp_path: Path) -> None:
    from tests.inference.video import videos

    predictor = load(save_kitti(tmp_path / "model.safetensors"))
    source = videos.make(tmp_path / "a.mp4", videos.constant(2), (620, 188))
    assert predictor.video(source, tmp_path / "out.mp4").notes == (f"{source}: {NOTE}",)


def test_the_command_names_the_flag_for_videos_too(tmp_path: Path, atonce: Command) -> None:
    from tests.inference.video import videos

    path = save_kitti(tmp_path / "model.safetensors")
    source = videos.make(tmp_path / "a.mp4", videos.constant(2), (620, 188))
    done = atonce("predict", path, source, "--out", tmp_path / "out", "--json")
    assert done.err.splitlines() == [WHERE, f"{source}: {TYPED}"]
    (report,) = json.loads(done.out)["videos"]
    assert report["notes"] == [f"{source}: {TYPED}"]
    assert report.keys() == {"frames", "seconds", "notes", "frames_per_second"}
