"""One class, its colour, its probability and its threshold; overlays and labels in the formats that are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import atonce as package
from atonce.errors import UserError
from atonce.inference import Predictor, load, tiles
from atonce.inference.folders import OutputOptions
from atonce.inference.inputs import Job
from atonce.inference.result import blend
from atonce.inference.video.overlay import predict_video
from atonce.labels import LabelSpec
from tests.commands import Command
from tests.data import trees
from tests.inference.video import videos

ROAD = 3  # of CamVid


@pytest.fixture(scope="module")
def segment(tiny_model: Path) -> Predictor:
    return load(tiny_model)


@pytest.fixture
def picture(street_data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "street.png"
    path.write_bytes(min((street_data / "val" / "images").iterdir()).read_bytes())
    return path


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def threshold_of(segment: Predictor, picture: Path) -> float:
    """One that is reached in a part of the picture."""
    return float(np.median(segment(picture).probability("Road")))


def test_only_road_in_green_as_the_project_wants_it(
    atonce: Command, segment: Predictor, tiny_model: Path, picture: Path, tmp_path: Path
) -> None:
    threshold = threshold_of(segment, picture)
    done = atonce(
        "predict", tiny_model, picture, "--out", tmp_path / "out", "--only", "road", "--colour", "road=#00ff00",
        "--threshold", threshold, "--overlays", "png", "--opacity", 1, "--labels", "grey", "--maps",
    )  # fmt: skip
    assert done.code == 0, done.err
    probability = segment(picture).probability("Road")
    there = probability >= threshold
    assert 0 < there.mean() < 1
    overlay = opened(tmp_path / "out" / "overlays" / "street.png")
    assert (overlay[there] == (0, 255, 0)).all()
    np.testing.assert_array_equal(overlay[~there], opened(picture)[~there])
    np.testing.assert_array_equal(opened(tmp_path / "out" / "labels" / "street.png"), np.where(there, ROAD, 255))
    np.testing.assert_array_equal(opened(tmp_path / "out" / "maps" / "Road" / "street.png"), there * 255)


def test_a_map_is_the_probability_in_grey(tiny_model: Path, segment: Predictor, picture: Path, tmp_path: Path) -> None:
    package.predict(tiny_model, picture, out=tmp_path, only="Road", maps=True)
    expected = np.rint(segment(picture).probability("Road") * 255)
    np.testing.assert_array_equal(opened(tmp_path / "maps" / "Road" / "street.png"), expected)
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["Road"]
    package.predict(tiny_model, picture, out=tmp_path, maps=True, overwrite=True)
    assert len(list((tmp_path / "maps").iterdir())) == 11


def test_label_pictures_and_overlays_in_the_formats_asked_for(
    tiny_model: Path, segment: Predictor, picture: Path, tmp_path: Path
) -> None:
    ids = segment(picture).labels
    modes: dict[Any, str] = {"palette": "P", "grey": "L", "values": "L", "colours": "RGB"}
    for style, mode in modes.items():
        package.predict(tiny_model, picture, out=tmp_path / style, labels=style, overlays="none")
        assert [path.name for path in (tmp_path / style).iterdir()] == ["labels"]
        with Image.open(tmp_path / style / "labels" / "street.png") as written:
            assert written.mode == mode
    np.testing.assert_array_equal(opened(tmp_path / "grey" / "labels" / "street.png"), ids)
    np.testing.assert_array_equal(opened(tmp_path / "values" / "labels" / "street.png"), ids)
    package.predict(tiny_model, picture, out=tmp_path / "lime", labels="colours", colours={"Road": "lime"})
    lime = opened(tmp_path / "lime" / "labels" / "street.png")
    np.testing.assert_array_equal(lime, segment.labels.with_colours({"Road": "lime"}).colour(ids))


def test_huge_pictures_have_thresholds_and_maps_too(
    tiny_model: Path, segment: Predictor, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold = threshold_of(segment, picture)
    options: dict[str, Any] = {"only": "Road", "threshold": threshold, "labels": "grey", "overlays": "png"}
    package.predict(tiny_model, picture, out=tmp_path / "whole", **options)
    package.predict(tiny_model, picture, out=tmp_path / "whole maps", only="Road", maps=True)
    monkeypatch.setattr(tiles, "LOGIT_PIXELS", 100)
    package.predict(tiny_model, picture, out=tmp_path / "parts", **options)
    package.predict(tiny_model, picture, out=tmp_path / "parts maps", only="Road", maps=True)
    for name in ("labels/street.png", "overlays/street.png"):
        assert (opened(tmp_path / "whole" / name) == opened(tmp_path / "parts" / name)).mean() > 0.99
    whole, parts = (opened(tmp_path / f"{kind} maps" / "maps" / "Road" / "street.png") for kind in ("whole", "parts"))
    np.testing.assert_allclose(whole.astype(int), parts, atol=1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "raod"], "there is no class 'raod'; .*did you mean 'road'"),
        (["--colour", "Road"], "--colour Road; expected a class and its colour"),
        (["--colour", "Road=reddish"], "the colour 'reddish'; expected '#00ff00'"),
        (["--threshold", "0.5"], r"--threshold 0\.5 with 0 classes; expected one class; name it with --only"),
        (["--only", "Road", "--only", "Car", "--threshold", "0.5"], "with 2 classes"),
        (["--colour", "Road=#010203", "--colour", "Car=#010203", "--labels", "colours"], "Road and Car have the same"),
        (["--labels", "gray"], "--labels gray; expected one of 'palette'"),
        (["--scale", "2", "--size", "640"], "--scale 2.0 and --size 640; expected one of them"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    atonce: Command, tiny_model: Path, picture: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    import re

    told = atonce("predict", tiny_model, picture, "--out", tmp_path / "out", *words).mistake
    assert re.search(message, told), told
    assert not (tmp_path / "out").exists()


def test_what_was_the_default_is_in_no_tag(tmp_path: Path) -> None:
    """Results of the first edition are results to go on with."""
    spec = LabelSpec.from_names(["road", "rest"])
    picture, video = Job(Path("a.png"), Path("a")), Job(Path("a.mp4"), Path("a"))
    options = OutputOptions().resolved(spec)
    assert options.that_matter(picture) == {"opacity": 0.5, "probabilities": False}
    assert options.that_matter(video) == {"opacity": 0.5, "label_video": False, "audio": True}
    annotated = OutputOptions(write=("coco",), simplify=3.0, min_area=9).resolved(spec)
    assert annotated.that_matter(picture) == options.that_matter(picture), "annotations follow from the labels"
    chosen = OutputOptions(only=("Road",), colours={"ROAD": "lime"}, labels="grey").resolved(spec)
    assert chosen.that_matter(picture) == {
        "opacity": 0.5, "probabilities": False, "only": ["road"], "colours": {"road": [0, 255, 0]}, "labels": "grey"
    }  # fmt: skip


def test_classes_whose_names_are_no_folders_have_their_maps(tmp_path: Path) -> None:
    from tests.networks import save_model

    names = ["../up", "a/b", "a:b", ".", "Straße"]
    model = save_model(tmp_path / "model.safetensors", LabelSpec.from_names(names))
    picture = trees.save(tmp_path / "a.png", trees.picture(0, (64, 48)))
    package.predict(model, picture, out=tmp_path / "out", maps=True)
    folders = sorted(path.name for path in (tmp_path / "out" / "maps").iterdir())
    assert len(folders) == 5
    assert "Straße" in folders
    assert not (tmp_path / "out" / "up").exists()


@pytest.mark.parametrize("threshold", [None, 0.0])
def test_a_video_of_one_class(segment: Predictor, tmp_path: Path, threshold: float | None) -> None:
    source = videos.make(tmp_path / "a.mp4", videos.constant(4))
    predict_video(
        segment,
        source,
        tmp_path / "out.mp4",
        only=["Road"],
        colours={"Road": "#00ff00"},
        threshold=threshold,
        labels=tmp_path / "ids.mkv",
    )
    for (_, image), (_, overlay), (_, ids) in zip(
        videos.read(source), videos.read(tmp_path / "out.mp4"), videos.read(tmp_path / "ids.mkv"), strict=True
    ):
        labels = segment(image).select("Road", threshold=threshold).labels
        assert (ids == labels).mean() > 0.99
        green = np.where((labels == ROAD)[..., None], np.array([0, 255, 0], np.uint8), np.uint8(0))
        assert np.abs(overlay.astype(int) - blend(image, green, 0.5)).mean() < 8


def test_predict_writes_videos_of_one_class(tiny_model: Path, segment: Predictor, tmp_path: Path) -> None:
    source = videos.make(tmp_path / "a.mp4", videos.constant(3))
    for index, only in enumerate((None, "Road")):
        package.predict(
            tiny_model, source, out=tmp_path / str(index), only=only, threshold=0.0 if only else None, opacity=1.0
        )
    everywhere = videos.read(tmp_path / "1" / "overlays" / "a.mp4")[0][1]
    np.testing.assert_allclose(everywhere.mean((0, 1)), segment.labels.palette[ROAD], atol=4)
    with pytest.raises(UserError, match="with other options"):
        package.predict(tiny_model, source, out=tmp_path / "1", only="Car")
