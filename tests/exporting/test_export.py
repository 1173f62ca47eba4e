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
from atonce.inference import NetworkPredictor
from atonce.streets import write_streets
from tests.exporting.networks import bundle, picture

pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
pytest.importorskip("openvino", reason="the extra `export` is not installed")

from atonce.exporting import Target, export, export_model
from atonce.exporting.check_images import CheckImages, cut, find_check_images
from atonce.exporting.export_model import export_checked
from atonce.exporting.parity import INT8, AccuracyError, Parity, ParityError, require_parity

SUFFIX = {Target.ONNX: ".onnx", Target.OPENVINO: ".xml"}


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_streets(tmp_path_factory.mktemp("streets"), train=4, val=3, size=(60, 90))


@pytest.mark.parametrize("target", list(Target))
def test_an_export_is_a_predictor(target: Target, tmp_path: Path) -> None:
    described, path = bundle(InputSize(0.8)), tmp_path / f"model{SUFFIX[target]}"
    steps: list[tuple[int, int]] = []
    images = CheckImages.from_scenes()
    done = export_checked(
        described, target, path, images, probabilities=True, progress=lambda *step: steps.append(step)
    )
    assert done.parity.agreement > 0.999
    assert done.parity.mean_iou is None
    assert steps == [(i, 10) for i in range(1, 11)]
    assert {p.suffix for p in tmp_path.iterdir()} <= {".onnx", ".xml", ".bin"}
    segment, reference = atonce.load(path), NetworkPredictor(described, device="cpu")
    image = picture(61, 83)
    found, expected = segment(image), reference(image)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)
    np.testing.assert_allclose(found.logits.softmax(0).numpy(), expected.probabilities, atol=1e-4)
    assert (found.labels == expected.labels).mean() > 0.999
    assert segment.classes == found.classes == described.labels.names
    assert json.dumps(segment.model_file.describe()["architecture"]) == json.dumps(described.describe()["architecture"])
    assert segment.model_file.recipe == described.recipe
    if target is Target.ONNX:
        np.testing.assert_array_equal(atonce.load(path, engine="openvino")(image).labels, found.labels)


def test_labels_alone_say_so(tmp_path: Path) -> None:
    export_checked(bundle(), Target.ONNX, tmp_path / "model.onnx", CheckImages.from_scenes())
    result = atonce.load(tmp_path / "model.onnx")(picture(40, 50))
    assert result.labels.shape == (40, 50)
    with pytest.raises(UserError, match="probabilities=True") as caught:
        _ = result.probabilities
    assert "export the model with --probabilities" in caught.value.for_command_line()


def test_large_pictures_go_through_an_export_in_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atonce.inference import tiles

    export_checked(bundle(), Target.ONNX, tmp_path / "model.onnx", CheckImages.from_scenes())
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
    monkeypatch.setattr(export_model, "require_parity", lambda parity, *, int8: None)
    described, path = bundle(), tmp_path / f"model{SUFFIX[target]}"
    images = CheckImages.from_dataset(open_dataset(streets), described.labels)
    done = export_checked(described, target, path, images, int8=True)
    assert done.parity.mean_iou is not None
    assert done.parity.logit_difference > 1e-4 * done.parity.largest_logit
    assert done.parity.agreement > 0.5
    assert atonce.load(path).classes == described.labels.names


def test_a_wrong_graph_is_refused_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atonce.exporting import graph_files as files

    def wrong(described: atonce.model_file.ModelFile, *arguments: object, **options: object) -> None:  # type: ignore
        other = bundle(described.input_size)
        files.write_graph(other, *arguments, **options)  # type: ignore

    monkeypatch.setattr(export_model, "write_graph", wrong)
    with pytest.raises(ParityError, match=r"logits differ by .* \(limit"):
        export_checked(bundle(), Target.ONNX, tmp_path / "model.onnx", CheckImages.from_scenes())
    assert not list(tmp_path.iterdir())


def test_what_is_out_of_bounds_is_said() -> None:
    def parity(agreement: float, mean_iou: tuple[float, float] | None, logit_difference: float = 0.0) -> Parity:
        return Parity(
            pictures=3,
            logit_difference=logit_difference,
            largest_logit=10.0,
            agreement=agreement,
            mean_iou=mean_iou,
        )

    fine = parity(0.98, (0.6, 0.598), 0.5)
    require_parity(fine, int8=True)
    with pytest.raises(AccuracyError, match=r"mean IoU falls from 0\.6000 to 0\.5900 \(limit 0\.005\)"):
        require_parity(parity(0.98, (0.6, 0.59), 0.5), int8=True)
    with pytest.raises(ParityError, match="of the labels agree"):
        require_parity(parity(0.98, None), int8=False)
    assert parity(1.0, None, float("nan")).violations(INT8) == []
    with pytest.raises(ParityError, match="nan"):
        require_parity(parity(1.0, None, float("nan")), int8=False)
    assert "mean IoU 0.6000 with torch and 0.5980 exported" in fine.summary()


def test_check_images(streets: Path, tmp_path: Path) -> None:
    described = bundle()
    labelled = CheckImages.from_dataset(open_dataset(streets), described.labels)
    assert len(labelled.calibration_images) == 4
    checks = list(labelled.checks())
    assert len(checks) == labelled.count == 9
    assert [check.mask is not None for check in checks] == [False] * 6 + [True] * 3
    others = CheckImages.from_dataset(open_dataset(streets), atonce.LabelSpec.from_names(("a", "b")))
    assert all(check.mask is None for check in others.checks())
    Image.fromarray(picture(30, 40)).save(tmp_path / "a.png")
    assert len(list(CheckImages.from_pictures([tmp_path / "a.png"]).checks())) == 7
    assert cut(picture(30, 40), (97, 31)).shape == (97, 31, 3)


def test_python_gives_the_files_of_the_command(tiny_run: Path, tmp_path: Path) -> None:
    """A run folder, its model file, what is loaded from it and the command: one export, to the bit."""
    from typer.testing import CliRunner

    from atonce.cli import app  # type: ignore

    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    assert CliRunner().invoke(app, ["export", str(run), "--to", "onnx"]).exit_code == 0
    expected = (run / "model.onnx").read_bytes()
    (run / "model.onnx").unlink()
    segment = atonce.load(run / "model.safetensors", device="cpu")
    for number, model in enumerate((str(run), run / "model.safetensors", segment, segment.model_file)):
        out = tmp_path / f"{number}.onnx"
        done = export(model, to="onnx", out=str(out))
        assert done.path == out and out.read_bytes() == expected
        assert done.megabytes == pytest.approx(len(expected) / 1e6)
    assert export(run, to="onnx").path == run / "model.onnx"


def test_a_model_in_training_is_left_as_it_is(tmp_path: Path) -> None:
    described = bundle()
    described.model.train()
    export(described, to="onnx", out=tmp_path / "model.onnx")
    assert described.model.training


def test_pictures_or_a_data_set_to_check_with(streets: Path, tmp_path: Path) -> None:
    described = bundle()
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b"):
        Image.fromarray(picture(30, 40)).save(folder / f"{name}.png")
    for source, pictures, masks in (
        (None, 4, False),
        (streets, 3, True),
        (folder, 2, False),
        (folder / "a.png", 1, False),
    ):
        images = find_check_images(source, described)
        assert images.count == pictures + 6
        assert (list(images.checks())[-1].mask is not None) == masks
    with pytest.raises(UserError):
        find_check_images(folder, described, format="camvid")


def test_mistakes_in_python(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no format 'tflite' .*one of onnx, openvino"):
        export(bundle(), to="tflite", out=tmp_path / "m.tflite")
    with pytest.raises(UserError, match=r"a model without a file, and no `out`; expected the file to write"):
        export(bundle(), to="onnx")
    with pytest.raises(UserError, match=r"int8=True without `calibration`; expected a data set") as caught:
        export(bundle(), to="onnx", out=tmp_path / "m.onnx", int8=True)
    assert caught.value.for_command_line().startswith("--int8 without --calibration; ")
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors"):
        export(tmp_path, to="onnx")
    done = export(bundle(), to="onnx", out=tmp_path / "m.onnx")
    with pytest.raises(UserError, match="exported already"):
        export(atonce.load(done.path), to="openvino", out=tmp_path / "m.xml")


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"ends in \.xml"):
        export_checked(bundle(), Target.OPENVINO, tmp_path / "model.onnx", CheckImages.from_scenes())
    with pytest.raises(WeightsError, match="does not exist"):
        atonce.load(tmp_path / "none.onnx")
    for name, engine in (("junk.onnx", "onnxruntime"), ("junk.onnx", "openvino"), ("junk.xml", "openvino")):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(WeightsError, match="cannot be read by"):
            atonce.load(tmp_path / name, engine=engine)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_graphs_of_others_are_refused(tmp_path: Path, engine: str) -> None:
    import onnx

    from atonce.onnx_graph.node_builder import GraphBuilder

    b = GraphBuilder()
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
