"""atonce export: files that pass their check, files that do not, and what they are good for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import atonce
from atonce.data import open_dataset
from atonce.data.input_size import InputSize
from atonce.errors import StorageError, UserError, WeightsError
from atonce.streets import write_streets
from tests.exporting.networks import bundle, picture

pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
pytest.importorskip("openvino", reason="the extra `export` is not installed")

from atonce.exporting import Target, export, export_model
from atonce.exporting.check_images import cut, from_dataset, from_pictures, from_scenes
from atonce.exporting.parity import INT8, AccuracyError, Parity, ParityError, require_parity

SUFFIX = {Target.ONNX: ".onnx", Target.OPENVINO: ".xml"}


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_streets(tmp_path_factory.mktemp("streets"), train=4, val=3, size=(60, 90))


@pytest.mark.parametrize("target", list(Target))
def test_an_export_is_a_predictor(target: Target, tmp_path: Path) -> None:
    described, path = bundle(InputSize(0.8)), tmp_path / f"model{SUFFIX[target]}"
    steps: list[tuple[int, int]] = []
    done = export(described, target, path, from_scenes(), True, progress=lambda *step: steps.append(step))
    assert done.parity.agreement > 0.999
    assert done.parity.mean_iou is None
    assert steps == [(i, 10) for i in range(1, 11)]
    assert {p.suffix for p in tmp_path.iterdir()} <= {".onnx", ".xml", ".bin"}
    segment, reference = atonce.load(path), atonce.Predictor(described, "cpu")
    image = picture(61, 83)
    found, expected = segment(image), reference(image)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)
    np.testing.assert_allclose(found.logits.softmax(0).numpy(), expected.probabilities, atol=1e-4)
    assert (found.labels == expected.labels).mean() > 0.999
    assert segment.classes == found.classes == described.labels.names
    assert json.dumps(segment.bundle.describe()["architecture"]) == json.dumps(described.describe()["architecture"])
    assert segment.bundle.recipe == described.recipe
    if target is Target.ONNX:
        np.testing.assert_array_equal(atonce.load(path, engine="openvino")(image).labels, found.labels)


def test_labels_alone_say_so(tmp_path: Path) -> None:
    export(bundle(), Target.ONNX, tmp_path / "model.onnx", from_scenes())
    result = atonce.load(tmp_path / "model.onnx")(picture(40, 50))
    assert result.labels.shape == (40, 50)
    with pytest.raises(UserError, match="--probabilities"):
        _ = result.probabilities


def test_large_pictures_go_through_an_export_in_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atonce.inference import tiles

    export(bundle(), Target.ONNX, tmp_path / "model.onnx", from_scenes())
    segment, image = atonce.load(tmp_path / "model.onnx"), picture(100, 400)
    whole = segment(image).labels
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(tiles, "_SMALLEST_CORE", 128)
    monkeypatch.setattr(tiles, "_TILE_BYTES", 1)
    steps: list[int] = []
    assert (segment(image, lambda done, total: steps.append(total)).labels == whole).mean() > 0.999
    assert steps == [4] * 4


@pytest.mark.parametrize("target", list(Target))
def test_int8(target: Target, streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nncf", reason="the extra `export` is not installed")
    # A random network's labels hang on the last bit: here it matters that eight bits are taken and measured.
    monkeypatch.setattr(export_model, "require_parity", lambda parity, int8: None)
    described, path = bundle(), tmp_path / f"model{SUFFIX[target]}"
    done = export(described, target, path, from_dataset(open_dataset(streets), described.labels), int8=True)
    assert done.parity.mean_iou is not None
    assert done.parity.logit_difference > 1e-4 * done.parity.largest_logit
    assert done.parity.agreement > 0.5
    assert atonce.load(path).classes == described.labels.names


def test_a_wrong_graph_is_refused_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atonce.exporting import graph_files as files

    def wrong(described: atonce.model_file.ModelFile, *arguments: object) -> None:  # type: ignore
        other = bundle(described.input_size)
        files.write_graph(other, *arguments)  # type: ignore

    monkeypatch.setattr(export_model, "write_graph", wrong)
    with pytest.raises(ParityError, match=r"logits differ by .* \(limit"):
        export(bundle(), Target.ONNX, tmp_path / "model.onnx", from_scenes())
    assert not list(tmp_path.iterdir())


def test_what_is_out_of_bounds_is_said() -> None:
    fine = Parity(3, 0.5, 10.0, 0.98, (0.6, 0.598))
    require_parity(fine, int8=True)
    with pytest.raises(AccuracyError, match=r"mean IoU falls from 0\.6000 to 0\.5900 \(limit 0\.005\)"):
        require_parity(Parity(3, 0.5, 10.0, 0.98, (0.6, 0.59)), int8=True)
    with pytest.raises(ParityError, match="of the labels agree"):
        require_parity(Parity(3, 0.0, 10.0, 0.98, None), int8=False)
    assert Parity(3, float("nan"), 10.0, 1.0, None).complaints(INT8) == []
    with pytest.raises(ParityError, match="nan"):
        require_parity(Parity(3, float("nan"), 10.0, 1.0, None), int8=False)
    assert "mean IoU 0.6000 with torch and 0.5980 exported" in fine.summary()


def test_material(streets: Path, tmp_path: Path) -> None:
    described = bundle()
    labelled = from_dataset(open_dataset(streets), described.labels)
    assert len(labelled.calibration) == 4
    checks = list(labelled.checks())
    assert len(checks) == labelled.count == 9
    assert [check.mask is not None for check in checks] == [False] * 6 + [True] * 3
    others = from_dataset(open_dataset(streets), atonce.LabelSpec.from_names(("a", "b")))
    assert all(check.mask is None for check in others.checks())
    Image.fromarray(picture(30, 40)).save(tmp_path / "a.png")
    assert len(list(from_pictures([tmp_path / "a.png"]).checks())) == 7
    assert cut(picture(30, 40), (97, 31)).shape == (97, 31, 3)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"ends in \.xml"):
        export(bundle(), Target.OPENVINO, tmp_path / "model.onnx", from_scenes())
    with pytest.raises(WeightsError, match="does not exist"):
        atonce.load(tmp_path / "none.onnx")
    for name, engine in (("junk.onnx", "onnxruntime"), ("junk.onnx", "openvino"), ("junk.xml", "openvino")):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(WeightsError, match="cannot be read by"):
            atonce.load(tmp_path / name, engine=engine)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_graphs_of_others_are_refused(tmp_path: Path, engine: str) -> None:
    import onnx

    from atonce.onnx_graph.node_builder import Builder

    b = Builder()
    b.add("Relu", "x", name="y")
    onnx.save(b.finish([("x", 1, [1])], [("y", 1, [1])]), str(tmp_path / "other.onnx"))
    with pytest.raises(WeightsError, match="no description"):
        atonce.load(tmp_path / "other.onnx", engine=engine)


def test_command(streets: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from atonce.cli import app, evaluate, export, predict  # type: ignore  # noqa: F401

    model = tmp_path / "model.safetensors"
    bundle().save(model)
    done = CliRunner().invoke(app, ["export", str(model), "--to", "onnx", "--calibration", str(streets)])
    assert done.exit_code == 0, done.output
    assert "9 pictures" in done.stdout and "mean IoU" in done.stdout
    exported = model.with_suffix(".onnx")
    assert exported.is_file()
    shutil.copy(next(streets.rglob("val/images/*.png")), tmp_path / "a.png")
    for engine in ("torch", "auto"):
        arguments = ["predict", str(model), str(tmp_path / "a.png"), "--out", str(tmp_path / engine)]
        assert CliRunner().invoke(app, [*arguments, "--engine", engine]).exit_code == 0
    first, second = (np.asarray(Image.open(tmp_path / engine / "labels" / "a.png")) for engine in ("torch", "auto"))
    assert (first == second).mean() > 0.999
    failed = CliRunner().invoke(app, ["export", str(model), "--to", "onnx", "--int8"])
    assert isinstance(failed.exception, UserError)
