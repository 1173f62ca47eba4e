"""The readers that the fuzzer feeds: for each a way to make valid small files, and the call that reads one.

A reader of a new kind of file is one line in READERS.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image

from atonce import evaluation, exporting, inference, training
from atonce.data import open_dataset
from atonce.data.classes_file import read_classes
from atonce.data.images import read_image
from atonce.inference.finished_results import model_fingerprint, read_tag
from atonce.inference.folders import predict_files
from atonce.inference.inputs import Job
from atonce.inference.pixel_limit import PixelLimit
from atonce.inference.video.overlay import predict_video
from atonce.labels import CAMVID, KITTI_ROAD, LabelSpec
from atonce.metrics.kitti_road.birds_eye import BirdsEye
from atonce.model import FCN
from atonce.model_file import ModelFile
from atonce.recipes import FCNConfig, load_recipe
from atonce.reports.run_files import read_run_files
from atonce.safetensors_writer import save_tensors
from atonce.serving.decoding import decode_picture
from atonce.serving.upload import extract_picture
from atonce.streets import write_streets
from atonce.studies.shipped_studies import load_study
from atonce.studies.study_folder import read_description, read_result, run_folder
from atonce.studies.study_table import to_markdown
from atonce.training.optimizers import build_optimizer
from atonce.training.state import load_state, read_progress
from atonce.weights import read_weights
from atonce.weights.layouts import torchvision
from benchmarks.soak import mutations

TINY = (
    "data.format=folder", "data.crop=[48,64]", "data.workers=1", "model.width=0.125", "model.head_width=16",
    "train.precision=fp32", "train.batch_size=2", "train.steps=8", "train.validate_every=4", "train.save_every=2",
    "train.log_every=1", "train.pictures=1",
)  # fmt: skip
"""Settings on the recipe "streets", for a run of seconds."""


@dataclass(frozen=True)
class Workspace:
    """What seeds are made from, and readers need beside the file that they read.

    Attributes:
        folder: the workspace itself.
        data: streets of 48x64, images/ and masks/.
        run: a finished run on them.
        scratch: emptied before each input.
    """

    folder: Path
    data: Path
    run: Path
    scratch: Path

    @property
    def model(self) -> Path:
        """The model file of the run."""
        return self.run / "model.safetensors"


@dataclass(frozen=True)
class Reader:
    """A reader, and what it is fed.

    Attributes:
        name: for the table.
        suffix: of the files.
        seeds: makes valid files.
        read: reads one; only a UserError may come out.
        mutate: damages one.
        share: how often it is chosen, relative to the others.
    """

    name: str
    suffix: str
    seeds: Callable[[Workspace], Sequence[bytes]]
    read: Callable[[Workspace, Path], object]
    mutate: Callable[[bytes, Random], bytes] = mutations.of_bytes
    share: float = 1.0


def make_workspace(folder: Path) -> Workspace:
    """Train the tiny network, unless that has been done before."""
    space = Workspace(folder, folder / "data", folder / "run", folder / "scratch")
    if not (space.run / "report.html").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        write_streets(space.data, train=4, val=2, size=(48, 64))
        training.run_training(load_recipe("streets", list(TINY)), space.data, space.run)
        evaluation.evaluate(space.run, space.data, out=folder / "evaluation", progress=False)
        for target in ("onnx", "openvino"):
            exporting.export(space.run, to=target, out=folder / f"model.{'onnx' if target == 'onnx' else 'xml'}")
        images = sorted((space.data / "val" / "images").iterdir())
        inference.folders.predict(space.run, images, out=folder / "results")
    space.scratch.mkdir(exist_ok=True)
    return space


# --- seeds -----------------------------------------------------------------------------------------------------------


def _picture(size: tuple[int, int] = (20, 14), seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    return Image.fromarray(values)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pictures(_: Workspace) -> list[bytes]:
    """Make a picture of each format and of most modes."""
    image = _picture()
    exif = Image.Exif()
    exif[274] = 6
    found = [_saved(image, kind) for kind in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000")]
    found += [_saved(image, "TIFF", compression=how) for how in ("tiff_lzw", "jpeg", "packbits", "tiff_deflate")]
    found += [_saved(image.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGBA", "I;16")]
    found += [_saved(image, "JPEG", progressive=True, exif=exif), _saved(image.convert("CMYK"), "JPEG")]
    found += [
        b"P5 5 4 7\n" + bytes(range(20)),
        b"P2 2 2 9\n1 2 3 9\n",
        b"P1 3 2\n1 0 1 0 1 0\n",
        b"P6 2 1 300\n" + bytes(12),
    ]
    found.append(_saved(image, "PNG", exif=exif))
    return found


def masks(_: Workspace) -> list[bytes]:
    """Make masks of ids, with a palette, and in colours."""
    ids = Image.fromarray(np.random.default_rng(0).integers(0, 11, (48, 64), np.uint8))
    palette = ids.copy()
    palette.putpalette(CAMVID.lookup().flatten().tolist())
    return [_saved(ids, "PNG"), _saved(palette, "PNG"), _saved(palette.convert("RGB"), "PNG"), _saved(ids, "BMP")]


def forms(_: Workspace) -> list[bytes]:
    """Make the bodies of posts."""
    head = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return [head + _saved(_picture(), "PNG") + b"\r\n--x--\r\n"]


def _vgg(name: Callable[[int, int], str], shape: Callable[[int, int], tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    widths = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    found, before = {}, 3
    for block, (width, count) in enumerate(widths, 1):
        for index in range(1, count + 1):
            found[name(block, index)] = shape(before, width)
            before = width
    return found


_TORCHVISION = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def torch_weights(_: Workspace) -> list[bytes]:
    """Make VGG-16 as torchvision names it, in half precision: a zip that unpacks to more is refused."""
    names: dict[str, tuple[int, ...]] = {}
    shapes = _vgg(lambda block, index: f"{block}-{index}", lambda before, width: (width, before, 3, 3)).values()
    for number, shape in zip(_TORCHVISION, shapes, strict=True):
        names |= {f"features.{number}.weight": shape, f"features.{number}.bias": (shape[0],)}
    tensors = {name: torch.full(shape, 0.01, dtype=torch.float16) for name, shape in names.items()}
    file = io.BytesIO()
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}, "epoch": 3}, file)
    return [file.getvalue()]


def keras_weights(space: Workspace) -> list[bytes]:
    """Make VGG-16 as Keras writes it; zeros take no room in a compressed HDF5 file."""
    try:
        import h5py
    except ImportError:
        return []
    path = space.folder / "seed.h5"
    with h5py.File(path, "w") as file:
        for name, shape in _vgg(lambda b, i: f"block{b}_conv{i}", lambda a, b: (3, 3, a, b)).items():
            for part, size in (("W", shape), ("b", shape[-1:])):
                file.create_dataset(f"{name}/{name}_{part}_1:0", size, "f4", compression="gzip", fillvalue=0.01)
    return [path.read_bytes()]


def tensors(space: Workspace) -> list[bytes]:
    """Make safetensors files: a model file, and one without a description."""
    path = space.folder / "seed.safetensors"
    save_tensors(path, {"trunk.conv1_1.weight": torch.zeros(4, 3, 3, 3)}, {})
    return [*models(space), path.read_bytes()]


def models(space: Workspace) -> list[bytes]:
    """Make model files: one with its recipe and scores, one without, of all variants of a network."""
    found = [space.model.read_bytes()]
    path = space.folder / "seed.safetensors"
    configs: tuple[tuple[dict[str, Any], LabelSpec], ...] = (({"stride": 32}, KITTI_ROAD), ({"stride": 8}, CAMVID))
    for config, labels in configs:
        ModelFile(FCN(FCNConfig(**config, width=0.02, head_width=4), labels.num_classes), labels).save(path)
        found.append(path.read_bytes())
    return found


def videos(space: Workspace) -> list[bytes]:
    """Make films of four frames in several containers, with and without sound."""
    try:
        import av
    except ImportError:
        return []
    found = []
    for suffix, codec, sound in (
        (".mp4", "libx264", "aac"), (".mov", "mpeg4", "pcm_s16le"), (".mkv", "ffv1", None), (".avi", "mpeg4", None),
    ):  # fmt: skip
        path = space.folder / f"seed{suffix}"
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            audio: Any = container.add_stream(sound, rate=48_000, layout="mono") if sound else None
            for index in range(4):
                frame = av.VideoFrame.from_ndarray(np.asarray(_picture((64, 48), index)), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if audio is not None:
                for start in range(0, 8000, 1000):
                    wave = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.float32), format="flt", layout="mono")
                    wave.sample_rate, wave.pts, wave.time_base = 48_000, start, Fraction(1, 48_000)
                    container.mux(audio.encode(wave))
                container.mux(audio.encode())
        found.append(path.read_bytes())
    return found


def files(*names: str) -> Callable[[Workspace], list[bytes]]:
    """Take files that the workspace holds."""
    return lambda space: [(space.folder / name).read_bytes() for name in names if (space.folder / name).is_file()]


def texts(*contents: str) -> Callable[[Workspace], list[bytes]]:
    """Take texts as they stand here."""
    return lambda _: [content.encode() for content in contents]


def recipe_texts(space: Workspace) -> list[bytes]:
    """Take the recipe of the run, and the shipped ones."""
    from atonce.recipes.recipe_files import SHIPPED

    shipped = sorted((file for file in SHIPPED.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return [(space.run / "recipe.yaml").read_bytes(), *(file.read_bytes() for file in shipped)]


def finished_results(space: Workspace) -> list[bytes]:
    """Take label pictures of an earlier time."""
    return [path.read_bytes() for path in sorted((space.folder / "results" / "labels").iterdir())[:1]]


# --- readers ---------------------------------------------------------------------------------------------------------

_IMAGE = np.random.default_rng(0).integers(0, 256, (33, 40, 3), np.uint8)


def read_posted(space: Workspace, path: Path) -> object:
    """Decode a picture as the server does."""
    return decode_picture(path.read_bytes(), PixelLimit(_predictor(space).model_file, 25_000_000))


def read_mask(space: Workspace, path: Path) -> object:
    """Open a data set that has the file for one of its masks, and read the masks."""
    root = Path(shutil.copytree(space.data, space.scratch / "data"))
    shutil.copy(path, min((root / "train" / "masks").iterdir()))
    dataset = open_dataset(root)
    return [dataset.load(item).mask for items in dataset.splits.values() for item in items if item.mask]


def read_list(space: Workspace, path: Path) -> object:
    """Open CamVid with the file for its list of training pictures."""
    root = space.scratch / "camvid"
    (root / "701_StillsRaw_full").mkdir(parents=True)
    for split in ("train", "val", "test"):
        for kind in (split, f"{split}annot"):
            (root / kind).mkdir()
            _picture((24, 16)).convert("L").point(lambda value: value % 11).save(root / kind / "a.png")
        (root / f"{split}.txt").write_text(f"/SegNet/CamVid/{split}/a.png /SegNet/CamVid/{split}annot/a.png\n")
    shutil.copy(path, root / "train.txt")
    return open_dataset(root).splits


def use_model(_: Workspace, path: Path) -> object:
    """Load a model or an exported file, and segment a picture."""
    return inference.load(path)(_IMAGE).labels


def use_openvino(space: Workspace, path: Path) -> object:
    """Load an OpenVINO graph beside its weights."""
    shutil.copy(space.folder / "model.bin", path.with_suffix(".bin"))
    return use_model(space, path)


def use_calibration(_: Workspace, path: Path) -> object:
    """Look at a picture from above."""
    view = BirdsEye.from_calibration(path)
    return view(_IMAGE[..., 0].astype(np.float32)), view.valid(33, 40)


def use_video(space: Workspace, path: Path) -> object:
    """Segment a film."""
    return predict_video(_predictor(space), path, space.scratch / "out.mp4", labels=space.scratch / "out.mkv")


def use_state(space: Workspace, path: Path) -> object:
    """Go on with a run."""
    read_progress(path)
    recipe = load_recipe(space.run / "recipe.yaml")
    model = inference.load(space.run).model
    return load_state(path, model, build_optimizer(model, recipe.optim), None)


def report_on(name: str, space: Workspace, path: Path) -> object:
    """Report on a run with the file for one of its own."""
    from atonce.reports import write_report

    folder = space.scratch / "run"
    shutil.copytree(space.run, folder, ignore=shutil.ignore_patterns("state", "pictures", "report.html"))
    for extra in ("evaluation.json", "gallery.json"):
        if (space.folder / "evaluation" / extra).is_file():
            shutil.copy(space.folder / "evaluation" / extra, folder)
    shutil.copy(path, folder / name)
    read_run_files(folder)
    return write_report(folder)


def read_study_file(name: str, space: Workspace, path: Path) -> object:
    """Tabulate what a study has left."""
    for text, to in ((_STUDY_JSON, "study.json"), (_RESULT_JSON, "a/seed-0/result.json")):
        (space.scratch / to).parent.mkdir(parents=True, exist_ok=True)
        (space.scratch / to).write_text(text)
    shutil.copy(path, space.scratch / name)
    study = read_description(space.scratch)
    assert study is not None
    results = [
        read_result(run_folder(space.scratch, variant, seed)) for variant in study.variants for seed in study.seeds
    ]
    return to_markdown(study, [result for result in results if result])


def go_on_predicting(space: Workspace, path: Path) -> object:
    """Predict where the file is the label picture of an earlier time."""
    out, image = space.scratch / "out", min((space.data / "val" / "images").iterdir())
    (out / "labels").mkdir(parents=True)
    shutil.copy(path, out / "labels" / "a.png")
    read_tag(out / "labels" / "a.png")
    return predict_files(_predictor(space), [Job(image, Path("a"))], out, fingerprint=model_fingerprint(space.model))


_PREDICTORS: dict[Path, inference.Predictor] = {}


def _predictor(space: Workspace) -> inference.Predictor:
    if space.folder not in _PREDICTORS:
        _PREDICTORS[space.folder] = inference.load(space.run, device="cpu")
    return _PREDICTORS[space.folder]


_CLASSES_YAML = """classes:
  - {name: sky, value: 0, colour: [128, 128, 128]}
  - {name: road, value: 7, colour: "#804080"}
ignore_index: 255
"""
_CLASSES_CSV = "name,value,r,g,b\nsky,0,128,128,128\nroad,7,128,64,128\n"
_CALIBRATION = """P2: 721.5 0 609.5 44.8 0 721.5 172.8 0.2 0 0 1 0.003
R0_rect: 0.99 0.01 -0.007 -0.01 0.99 -0.004 0.007 0.004 0.99
Tr_cam_to_road: 0.99 -0.01 0.01 0.01 0.01 0.99 -0.02 -1.6 -0.01 0.02 0.99 0.3
"""
_STUDY = "name: mine\nquestion: which\nvariants:\n  a: {optim.lr: 0.1}\n  b: [optim.lr=0.2, train.steps=3]\n  c:\n"
_STUDY_JSON = json.dumps(
    {
        "name": "mine", "question": "which", "data": "/data", "recipe_name": "streets", "recipe": {}, "seeds": [0, 1],
        "variants": {"a": {}, "b": {"optim.lr": 1}}, "sessions": [{"command": "x", "commit": "y", "time": "z"}],
    }
)  # fmt: skip
_RESULT_JSON = json.dumps(
    {
        "variant": "a", "seed": 0, "failed": None, "step": 8, "minutes": 0.1, "best_step": 8, "mean_iou": 0.5,
        "pixel_accuracy": 0.7, "last_mean_iou": None, "last_pixel_accuracy": 0.7, "fingerprint": "f", "commit": "c",
        "skip_scales": {"pool4": 0.01}, "device": "cpu",
    }
)  # fmt: skip
_LIST = "/SegNet/CamVid/train/a.png /SegNet/CamVid/trainannot/a.png\n"
_TEXT, _JSON, _TENSORS = mutations.of_text, mutations.of_json, mutations.of_safetensors

READERS: tuple[Reader, ...] = (
    Reader("picture", ".png", pictures, lambda _, path: read_image(path), share=4),
    Reader("posted picture", ".png", pictures, read_posted, share=4),
    Reader("posted form", ".form", forms, lambda _, path: extract_picture(
        path.read_bytes(), "multipart/form-data; boundary=x", 1_000_000)),
    Reader("mask", ".png", masks, read_mask, share=2),
    Reader("weights: torch", ".pth", torch_weights, lambda _, path: read_weights(path, layout=torchvision.FEATURES),
           share=0.5),
    Reader("weights: keras", ".h5", keras_weights, lambda _, path: read_weights(path), share=0.5),
    Reader("weights: safetensors", ".safetensors", tensors, lambda _, path: read_weights(path), _TENSORS),
    Reader("model file", ".safetensors", models, use_model, _TENSORS, share=3),
    Reader("ONNX", ".onnx", files("model.onnx"), use_model),
    Reader("OpenVINO", ".xml", files("model.xml"), use_openvino, _TEXT, share=0.5),
    Reader("recipe", ".yaml", recipe_texts, lambda _, path: load_recipe(path), _TEXT, share=3),
    Reader("--set", ".txt", texts("optim.lr=0.1", "data.crop=[48,64]", "model.stride=8", "weights=x.pth"),
           lambda _, path: load_recipe("streets", [path.read_text("utf-8", "replace")]), _TEXT, share=2),
    Reader("classes.yaml", ".yaml", texts(_CLASSES_YAML), lambda _, path: read_classes(path), _TEXT, share=2),
    Reader("classes.csv", ".csv", texts(_CLASSES_CSV), lambda _, path: read_classes(path), _TEXT),
    Reader("list", ".txt", texts(_LIST, _LIST * 3), read_list, _TEXT),
    Reader("study", ".yaml", texts(_STUDY), lambda _, path: load_study(str(path)), _TEXT, share=2),
    Reader("study.json", ".json", texts(_STUDY_JSON), partial(read_study_file, "study.json"), _JSON),
    Reader("result.json", ".json", texts(_RESULT_JSON), partial(read_study_file, "a/seed-0/result.json"), _JSON),
    Reader("calibration", ".txt", texts(_CALIBRATION), use_calibration, _TEXT),
    Reader("video", ".mp4", videos, use_video, share=2),
    Reader("state", ".safetensors", files("run/state/state.safetensors"), use_state, _TENSORS),
    Reader("log.jsonl", ".jsonl", files("run/log.jsonl"), partial(report_on, "log.jsonl"), mutations.of_json_lines,
           share=0.5),
    Reader("metrics.csv", ".csv", files("run/metrics.csv"), partial(report_on, "metrics.csv"), _TEXT, share=0.5),
    Reader("run.json", ".json", files("evaluation/run.json"), partial(report_on, "run.json"), _JSON, share=0.5),
    Reader("recipe.yaml of a run", ".yaml", files("run/recipe.yaml"), partial(report_on, "recipe.yaml"), _TEXT,
           share=0.5),
    Reader("evaluation.json", ".json", files("evaluation/evaluation.json"), partial(report_on, "evaluation.json"),
           _JSON),
    Reader("finished result", ".png", finished_results, go_on_predicting),
)  # fmt: skip
"""Every reader; `python -m benchmarks.soak --only fuzz --readers NAME` feeds one alone."""
