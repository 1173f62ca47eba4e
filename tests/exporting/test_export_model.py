"""atonce export: files that pass their check, files that do not, and what they are good for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atonce.data import open_dataset
from atonce.data.input_size import InputSize
from atonce.devices import has_bf16
from atonce.errors import StorageError, UserError, WeightsError
from atonce.inference import NetworkPredictor, load
from atonce.labels import LabelSpec
from atonce.model_file import ModelFile
from atonce.onnx_graph import METADATA_KEY
from tests.commands import Command
from tests.networks import small_model_file
from tests.pictures import blocks

pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
pytest.importorskip("openvino", reason="the extra `export` is not installed")

from atonce.exporting import Target, export, export_model
from atonce.exporting.check_images import CheckImages
from atonce.exporting.export_model import export_checked
from atonce.exporting.parity import ParityError

SUFFIX = {Target.ONNX: ".onnx", Target.OPENVINO: ".xml"}


@pytest.mark.parametrize("target", list(Target))
def test_an_export_is_a_predictor(target: Target, tmp_path: Path) -> None:
    described, path = small_model_file(InputSize(0.8)), tmp_path / f"model{SUFFIX[target]}"
    steps: list[tuple[int, int]] = []
    images = CheckImages.from_scenes()
    done = export_checked(
        described, target, path, images, probabilities=True, progress=lambda *step: steps.append(step)
    )
    assert done.parity.agreement > 0.999
    assert done.parity.mean_iou is None
    assert steps == [(i, 10) for i in range(1, 11)]
    assert {p.suffix for p in tmp_path.iterdir()} <= {".onnx", ".xml", ".bin"}
    segment, reference = load(path), NetworkPredictor(described, device="cpu")
    image = blocks(61, 83)
    found, expected = segment(image), reference(image)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)
    np.testing.assert_allclose(found.logits.softmax(0).numpy(), expected.probabilities, atol=1e-4)
    assert (found.labels == expected.labels).mean() > 0.999
    assert segment.classes == found.classes == described.labels.names
    assert json.dumps(segment.model_file.describe()["architecture"]) == json.dumps(described.describe()["architecture"])
    assert segment.model_file.recipe == described.recipe
    if target is Target.ONNX:
        np.testing.assert_array_equal(load(path, engine="openvino")(image).labels, found.labels)


def test_labels_alone_say_so(tmp_path: Path) -> None:
    export_checked(small_model_file(), Target.ONNX, tmp_path / "model.onnx", CheckImages.from_scenes())
    result = load(tmp_path / "model.onnx")(blocks(40, 50))
    assert result.labels.shape == (40, 50)
    with pytest.raises(UserError, match="probabilities=True") as caught:
        _ = result.probabilities
    assert "export the model with --probabilities" in caught.value.for_command_line()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("kept", [1, 2])
def test_a_graph_of_other_classes_than_the_file_describes_is_refused(
    engine: str, kept: int, tmp_path: Path, probabilities: bool
) -> None:
    import onnx

    path = tmp_path / "model.onnx"
    described = small_model_file(labels=LabelSpec.from_names(["a", "b", "c"]))
    bias = described.model.score_fc7.bias
    assert bias is not None
    with torch.no_grad():
        bias[2] = 30
    export_checked(described, Target.ONNX, path, CheckImages.from_scenes(), probabilities=probabilities)
    graph = onnx.load(path)
    (note,) = [each for each in graph.metadata_props if each.key == METADATA_KEY]
    data = json.loads(note.value)
    data["labels"] = {key: value[:kept] if isinstance(value, list) else value for key, value in data["labels"].items()}
    note.value = json.dumps(data)
    onnx.save(graph, path)
    told = r"gives (the class id 2|probabilities of shape \(1, 3, .*), and describes (1 class|2 classes); expected a file of"
    with pytest.raises(WeightsError, match=told):
        _ = load(path, engine=engine)(blocks(40, 50)).labels


def test_large_pictures_go_through_an_export_in_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atonce.inference import tiles

    export_checked(small_model_file(), Target.ONNX, tmp_path / "model.onnx", CheckImages.from_scenes())
    segment, image = load(tmp_path / "model.onnx"), blocks(100, 400)
    whole = segment(image).labels
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiles, "_SMALLEST_CORE", 128)
    monkeypatch.setattr(tiles, "_TILE_BYTES", 1)
    steps: list[int] = []
    assert (segment(image, lambda done, total: steps.append(total)).labels == whole).mean() > 0.999
    assert steps == [4] * 4


def test_what_bf16_costs_is_measured_where_the_processor_has_it(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_file = small_model_file()
    images = CheckImages.from_dataset(open_dataset(streets), model_file.labels)
    if has_bf16(torch.device("cpu")):
        done = export_checked(model_file, Target.OPENVINO, tmp_path / "model.xml", images)
        exact, rounded = done.parity, done.parity_bf16
        assert rounded is not None
        assert rounded.mean_iou is not None
        assert rounded.pictures == exact.pictures
        assert rounded.logit_difference > 10 * exact.logit_difference
        assert done.summary()[1].startswith("with the engine openvino-bf16: 3 validation pictures and 6 cuts ")
        assert done.to_json()["parity_bf16"]["agreement"] == rounded.agreement
        assert export_checked(model_file, Target.ONNX, tmp_path / "model.onnx", images).parity_bf16 is None
    monkeypatch.setattr(export_model, "has_bf16", lambda device: False)
    assert export_checked(model_file, Target.OPENVINO, tmp_path / "model.xml", images).parity_bf16 is None


@pytest.mark.parametrize("target", list(Target))
def test_int8(target: Target, streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nncf", reason="the extra `export` is not installed")
    # A random network's labels hang on the last bit: here it matters that eight bits are taken and measured.
    monkeypatch.setattr(export_model, "require_parity", lambda parity, *, int8: None)
    described, path = small_model_file(), tmp_path / f"model{SUFFIX[target]}"
    images = CheckImages.from_dataset(open_dataset(streets), described.labels)
    steps: list[tuple[int, int]] = []
    notes: list[str] = []
    done = export_checked(
        described,
        target,
        path,
        images,
        int8=True,
        progress=lambda *step: steps.append(step),
        on_note=notes.append,
    )
    # It says that it calibrates before it does, and counts the pictures of both.
    assert notes == ["calibrating INT8 on 4 pictures"]
    assert steps == [(i, 13) for i in range(1, 14)]
    assert done.parity.mean_iou is not None
    assert done.parity.logit_difference > 1e-4 * done.parity.largest_logit
    assert done.parity.agreement > 0.5
    assert load(path).classes == described.labels.names


def test_a_wrong_graph_is_refused_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atonce.exporting import graph_files as files

    def wrong(described: ModelFile, *arguments: Any, **options: Any) -> None:
        other = small_model_file(described.input_size)
        files.write_graph(other, *arguments, **options)

    monkeypatch.setattr(export_model, "write_graph", wrong)
    with pytest.raises(ParityError, match=r"logits differ by .* \(limit"):
        export_checked(small_model_file(), Target.ONNX, tmp_path / "model.onnx", CheckImages.from_scenes())
    assert not list(tmp_path.iterdir())


def test_python_gives_the_files_of_the_command(atonce: Command, tiny_run: Path, tmp_path: Path) -> None:
    """A run folder, its model file, what is loaded from it and the command: one export, to the bit."""
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    assert atonce("export", run, "--to", "onnx").code == 0
    expected = (run / "model.onnx").read_bytes()
    (run / "model.onnx").unlink()
    segment = load(run / "model.safetensors", device="cpu")
    models: list[Any] = [str(run), run / "model.safetensors", segment, segment.model_file]
    for number, model in enumerate(models):
        out = tmp_path / f"{number}.onnx"
        done = export(model, to="onnx", out=str(out))
        assert done.path == out and out.read_bytes() == expected
        assert done.megabytes == pytest.approx(len(expected) / 1e6)
    assert export(run, to="onnx").path == run / "model.onnx"


def test_a_model_in_training_is_left_as_it_is(tmp_path: Path) -> None:
    described = small_model_file()
    described.model.train()
    export(described, to="onnx", out=tmp_path / "model.onnx")
    assert described.model.training


def test_mistakes_in_python(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no format 'tflite' .*one of onnx, openvino"):
        export(small_model_file(), to="tflite", out=tmp_path / "m.tflite")
    with pytest.raises(UserError, match=r"a model without a file, and no `out`; expected the file to write"):
        export(small_model_file(), to="onnx")
    with pytest.raises(UserError, match=r"int8=True without `calibration`; expected a data set") as caught:
        export(small_model_file(), to="onnx", out=tmp_path / "m.onnx", int8=True)
    assert caught.value.for_command_line().startswith("--int8 without --calibration; ")
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors; expected a run folder"):
        export(tmp_path, to="onnx")
    done = export(small_model_file(), to="onnx", out=tmp_path / "m.onnx")
    with pytest.raises(UserError, match="exported already"):
        export(load(done.path), to="openvino", out=tmp_path / "m.xml")


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"ends in \.xml"):
        export_checked(small_model_file(), Target.OPENVINO, tmp_path / "model.onnx", CheckImages.from_scenes())
    with pytest.raises(WeightsError, match="does not exist"):
        load(tmp_path / "none.onnx")
    for name, engine in (("junk.onnx", "onnxruntime"), ("junk.onnx", "openvino"), ("junk.xml", "openvino")):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(WeightsError, match="cannot be read by"):
            load(tmp_path / name, engine=engine)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_graphs_of_others_are_refused(tmp_path: Path, engine: str) -> None:
    import onnx

    from atonce.onnx_graph.node_builder import GraphBuilder

    b = GraphBuilder()
    b.add("Relu", "x", name="y")
    onnx.save(b.finish([("x", 1, [1])], [("y", 1, [1])]), str(tmp_path / "other.onnx"))
    with pytest.raises(WeightsError, match="no description"):
        load(tmp_path / "other.onnx", engine=engine)


def test_weights_of_others_beside_a_graph_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights of somebody else")
    with pytest.raises(UserError, match=r"model\.bin is there already"):
        export_checked(small_model_file(), Target.OPENVINO, tmp_path / "model.xml", CheckImages.from_scenes())
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]
