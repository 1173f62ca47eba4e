"""Responses to good requests: what `atonce.load(model)(picture)` gives, in each format."""

from __future__ import annotations

import base64
import json
import math
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

import atonce
from atonce.inference import Predictor, Result
from atonce.labels import CAMVID, LabelSpec
from atonce.serving.paths import PATHS
from atonce.serving.request_errors import RequestError
from atonce.serving.responses import ResponseFormat, ResponseOptions, encode_result, negotiate_format
from tests.networks import small_model_file
from tests.pictures import encoded, noise
from tests.serving.live import Live, Reply, serving


@pytest.fixture(scope="module")
def segment(tiny_model: Path) -> Predictor:
    return atonce.load(tiny_model, device="cpu")


def turned() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return encoded(noise(31, 45), "JPEG", exif=exif)


FILES = {
    "PNG": lambda: encoded(noise(48, 64)),
    "JPEG": lambda: encoded(noise(33, 47), "JPEG"),
    "progressive JPEG": lambda: encoded(noise(33, 47), "JPEG", progressive=True),
    "EXIF-turned": turned,
    "CMYK": lambda: encoded(Image.fromarray(noise(31, 45)).convert("CMYK"), "JPEG"),
    "16 bit": lambda: encoded(noise(31, 45)[..., 0].astype(np.uint16) * 257),
    "grey": lambda: encoded(Image.fromarray(noise(31, 45)).convert("L")),
    "RGBA": lambda: encoded(Image.fromarray(noise(31, 45)).convert("RGBA")),
    "palette": lambda: encoded(Image.fromarray(noise(31, 45)).convert("P")),
    "TIFF": lambda: encoded(noise(31, 45), "TIFF", compression="tiff_lzw"),
    "WebP": lambda: encoded(noise(31, 45), "WEBP"),
    "PPM": lambda: encoded(noise(31, 45), "PPM"),
    "GIF": lambda: encoded(Image.fromarray(noise(31, 45)).convert("P"), "GIF"),
    "one row": lambda: encoded(noise(1, 200)),
    "one pixel": lambda: encoded(noise(1, 1)),
}


@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_the_labels_are_those_of_the_predictor(live: Live, segment: Predictor, make, tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(make())
    expected = segment(tmp_path / "picture").labels
    for reply in (live.send(make(), "format=labels", "image/x-any"), live.post(make(), "format=labels")):
        assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
        np.testing.assert_array_equal(reply.labels, expected)


def test_the_label_picture_has_the_palette(live: Live, segment: Predictor) -> None:
    reply = live.send(encoded(noise(48, 64)), "format=labels")
    with Image.open(BytesIO(reply.body)) as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), CAMVID.colour(segment(noise(48, 64)).labels))


def test_overlays(live: Live, segment: Predictor) -> None:
    result = segment(noise(48, 64))
    for query, opacity in (("", 0.5), ("&opacity=0", 0.0), ("&opacity=1", 1.0)):
        reply = live.send(encoded(noise(48, 64)), f"format=overlay{query}")
        with Image.open(BytesIO(reply.body)) as picture:
            np.testing.assert_array_equal(np.asarray(picture), np.asarray(result.overlay(opacity)))


def test_the_layer_over_the_picture_is_the_overlay(live: Live) -> None:
    # The page lays it over the picture by the browser: black, background and void stay as the picture is.
    spec = LabelSpec(("background", "road", "night", "sky"), ((70, 70, 70), (128, 64, 128), (0, 0, 0), (0, 0, 200)))
    image = noise(30, 40)
    result = Result(image, spec, labels=(noise(30, 40, 1)[..., 0] % 4))
    told = json.loads(encode_result(result, ResponseOptions(with_layer=True), {}))
    with Image.open(BytesIO(base64.b64decode(told["layer_png"]))) as layer:
        above = np.asarray(layer.convert("RGBA")).astype(float)
    assert set(np.unique(above[..., 3])) == {0, 255}
    for opacity in (0.0, 0.3, 1.0):
        alpha = above[..., 3:] / 255 * opacity
        shown = np.rint(above[..., :3] * alpha + image * (1 - alpha))
        np.testing.assert_array_equal(shown, np.asarray(result.overlay(opacity)))
    assert "layer_png" in live.send(encoded(noise(8, 8)), "layer=true").json


def test_polygons_are_those_of_the_result(live: Live, segment: Predictor) -> None:
    result = segment(noise(48, 64))
    for query, simplify in (("", 1.0), ("&simplify=0", 0.0), ("&simplify=2.5", 2.5)):
        reply = live.send(encoded(noise(48, 64)), f"format=polygons{query}")
        assert reply.headers["content-type"] == "application/json"
        expected = json.loads(json.dumps(result.to_dict(simplify=simplify)))
        assert {key: reply.json[key] for key in ("width", "height", "polygons")} == {
            key: expected[key] for key in ("width", "height", "polygons")
        }
        assert reply.json["classes"] == expected["classes"] and "total" in reply.json["milliseconds"]
    assert live.send(encoded(noise(8, 8)), "format=polygons&simplify=-1").status == 422
    assert live.send(encoded(noise(8, 8)), "format=polygons&simplify=nan").status == 422


def test_what_a_reader_should_know_is_in_every_json(live: Live, segment: Predictor) -> None:
    """The network was trained on pictures of 64x48: the page, which asks for JSON, says so, as `Result` does."""
    picture = noise(200, 300)
    (note,) = segment(picture).notes
    assert note.startswith("300x200 pixels, much larger than the pictures that the model was trained on (64x48)")
    for query in ("format=json", "format=json&labels=true&layer=true", "format=polygons&simplify=100"):
        assert live.send(encoded(picture), query).json["notes"] == [note], query
        assert live.send(encoded(noise(48, 64)), query).json["notes"] == [], query
    script = live.ask("GET", "/").body.decode()
    assert "answer.notes" in script and 'id="notes"' in script


def test_outlines_that_would_fill_the_memory_are_refused() -> None:
    """A board of single pixels: millions of areas, of which each would become a list of points."""
    labels = (np.indices((1200, 1200)).sum(0) % 2).astype(np.uint8)
    result = Result(np.zeros((1200, 1200, 3), np.uint8), LabelSpec.from_names(["a", "b"]), labels=labels)
    with pytest.raises(RequestError, match=r"2877600 pixels long; expected at most 300000; scale the picture down"):
        encode_result(result, ResponseOptions(ResponseFormat.POLYGONS), {})


def test_probabilities(live: Live, segment: Predictor) -> None:
    reply = live.send(encoded(noise(48, 64)), "format=probabilities")
    found = np.load(BytesIO(reply.body), allow_pickle=False)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, segment(noise(48, 64)).probabilities.astype(np.float16))


def test_json_tells_the_shares_of_the_classes(live: Live, segment: Predictor) -> None:
    labels = segment(noise(48, 64)).labels
    told = live.post(encoded(noise(48, 64))).json
    assert (told["width"], told["height"]) == (64, 48)
    assert [entry["name"] for entry in told["classes"]] == list(CAMVID.names)
    assert [tuple(entry["colour"]) for entry in told["classes"]] == list(CAMVID.palette)
    assert [entry["pixels"] for entry in told["classes"]] == np.bincount(labels.ravel(), minlength=11).tolist()
    assert math.isclose(sum(entry["share"] for entry in told["classes"]), 1)
    assert told["model"]["file"] == "model.safetensors"
    assert told["engine"] == "torch"
    assert {"decode", "network", "total"} <= told["milliseconds"].keys()
    assert "labels_png" not in told


def test_json_with_the_label_picture(live: Live, segment: Predictor) -> None:
    told = live.post(encoded(noise(48, 64)), "labels=true").json
    labels = Reply(200, {}, base64.b64decode(told["labels_png"])).labels
    np.testing.assert_array_equal(labels, segment(noise(48, 64)).labels)


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("image/png", "labels"),
        ("image/*", "labels"),
        ("application/octet-stream", "probabilities"),
        ("application/json;q=0.5, image/png;q=0.9", "labels"),
        ("text/html, */*;q=0.1", "json"),
    ],
)
def test_the_accept_header_chooses(header: str, kind: str) -> None:
    assert negotiate_format(header).value == kind


@pytest.mark.parametrize("header", ["text/html", "application/json;q=0", "image/png;q=many", ";;,,"])
def test_an_accept_header_that_cannot_be_met(header: str) -> None:
    with pytest.raises(RequestError, match="expected one of application/json"):
        negotiate_format(header)


def test_the_query_wins_over_the_accept_header(live: Live) -> None:
    reply = live.send(encoded(noise(8, 8)), "format=overlay", Accept="application/json")
    assert reply.headers["content-type"] == "image/png"
    assert live.send(encoded(noise(8, 8)), Accept="text/html").status == 406


def test_the_model_is_described_without_the_machine_it_was_trained_on(live: Live, tiny_model: Path) -> None:
    told = live.ask("GET", "/model").json
    assert [entry["name"] for entry in told["classes"]] == list(CAMVID.names)
    assert told["architecture"]["stride"] == 8
    assert told["preprocessing"]["order"] == "RGB"
    assert told["scores"]["mean_iou"] >= 0
    assert told["limits"]["pixels"] == 200_000
    assert not {"recipe", "training_data"} & told.keys()
    assert str(tiny_model.parent) not in str(told)


def test_numbers_that_json_does_not_know(tmp_path: Path) -> None:
    described = small_model_file()
    described.scores = {"mean_iou": math.nan, "boundary": [math.inf]}
    described.save(tmp_path / "model.safetensors")
    with serving(tmp_path / "model.safetensors") as live:
        assert live.ask("GET", "/model").json["scores"] == {"mean_iou": None, "boundary": [None]}


def test_health_and_the_description_of_the_interface(live: Live) -> None:
    assert live.ask("GET", "/healthz").json == {"status": "ok", "at_work": 0, "waiting": 0, "queue": 16}
    described = live.ask("GET", "/openapi.json").json
    assert set(described["paths"]) == {
        "/", "/healthz", "/livez", "/metrics", "/model", "/predict", "/readyz",
    }  # fmt: skip
    assert {*described["paths"], "/openapi.json"} == set(PATHS)
    assert set(described["paths"]["/predict"]["post"]["requestBody"]["content"]) == {"multipart/form-data", "image/*"}


def exported(path: Path, engine: str, *, probabilities: bool) -> Path:
    """A file of the graph, for a test that is skipped where the engine is not installed."""
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    pytest.importorskip(engine, reason="the extra `export` is not installed")
    from atonce.exporting.graph_files import Target, write_graph

    write_graph(small_model_file(), Target.ONNX, path, probabilities=probabilities)
    return path


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_exported_files_are_served(engine: str, tmp_path: Path) -> None:
    path = exported(tmp_path / "model.onnx", engine, probabilities=True)
    expected = atonce.load(path, engine=engine)(noise(40, 70))
    with serving(path, engine=engine) as live:
        np.testing.assert_array_equal(live.post(encoded(noise(40, 70)), "format=labels").labels, expected.labels)
        assert live.ask("GET", "/model").json["engine"] == engine
        reply = live.post(encoded(noise(40, 70)), "format=probabilities")
        found = np.load(BytesIO(reply.body), allow_pickle=False)
        np.testing.assert_array_equal(found, expected.probabilities.astype(np.float16))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_exported_files_without_probabilities_serve_labels_and_refuse_the_rest(engine: str, tmp_path: Path) -> None:
    path = exported(tmp_path / "model.onnx", engine, probabilities=False)
    expected = atonce.load(path, engine=engine)(noise(40, 70))
    with serving(path, engine=engine) as live:
        np.testing.assert_array_equal(live.post(encoded(noise(40, 70)), "format=labels").labels, expected.labels)
        reply = live.post(encoded(noise(40, 70)), "format=probabilities")
        assert reply.status == 422
        assert "export the model with --probabilities" in reply.error
