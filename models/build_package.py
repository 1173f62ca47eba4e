"""Build a package that brings a trained model: `atonce.load(NAME)` then works without training and without a network.

The package's folder here holds what a person has written: its metadata and its licence. What is built is a copy of it
with the model (kernels as float16), its checksum, its card, and pictures of generated streets; weights are never
committed, nor is any picture of a data set.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from atonce.errors import StorageError, UserError, WeightsError
from atonce.evaluation import evaluate
from atonce.evaluation.scoring import panel
from atonce.extras import require_extra
from atonce.inference import Predictor, load
from atonce.labels import CAMVID
from atonce.metrics import ConfusionMatrix
from atonce.model_file import load_model_file
from atonce.model_location import require_model_file
from atonce.packaged_models import INDEX, KNOWN_PACKAGES
from atonce.provenance import begin_session
from atonce.reports.folder_names import without_folders
from atonce.reports.model_card import card
from atonce.storage import make_folder, sha256_of, write_atomically, write_text
from atonce.streets import render_scene

HERE = Path(__file__).parent
LARGEST_BYTES = 15 << 20
"""The most that a model in a package may take, in bytes."""

_STREET_SEEDS = range(900_000, 900_020)
"""Seeds of generated streets that no training has seen; the first of them are drawn."""

_DRAWN = 3


@dataclass(frozen=True)
class BuiltPackage:
    """The outcome of `build_package`.

    Attributes:
        folder: the package's source, ready for any build tool.
        wheel: the file to install; None where none was asked for.
        model: the model file in the folder.
        mean_iou: of the model in the package, as its card has it; None where it has none.
    """

    folder: Path
    wheel: Path | None
    model: Path
    mean_iou: float | None


def build_package(
    name: str,
    model: str | PathLike[str],
    *,
    out: str | PathLike[str] = HERE / "build",
    data: str | PathLike[str] | None = None,
    wheel: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> BuiltPackage:
    """Build the package of a model.

    Args:
        name: what users will call it, one of `KNOWN_PACKAGES`.
        model: the run folder or model file.
        out: the folder for the package's source and its wheel; an earlier build there is replaced.
        data: the data set that it was trained on: the file in the package, whose kernels are rounded, is then scored on
            its validation split. Without it, the card has the scores before rounding, and says so.
        wheel: whether a wheel is built, too.
        tell: called with a line for each thing that is done.

    Raises:
        UserError: there is no package for the name, or hatchling is not installed.
        WeightsError: no model file, or one that is too large or cannot be rounded to float16.
        StorageError: what lies at the place of the package is none of an earlier build.
    """
    if name not in KNOWN_PACKAGES:
        raise UserError(f"there is no package for a model '{name}'", f"one of {', '.join(KNOWN_PACKAGES)}")
    if wheel:
        require_extra("hatchling.build", "building a wheel", "dev")
    package = KNOWN_PACKAGES[name]
    module, session = package.replace("-", "_"), begin_session()
    source = load_model_file(require_model_file(model))
    folder = _fresh_copy(package, Path(out))
    inside = folder / "src" / module
    file = inside / f"{name}.safetensors"
    # Paths tell of the machine on which it was trained.
    packed = without_folders(source)
    packed.save(file, half=True)
    if file.stat().st_size > LARGEST_BYTES:
        size = file.stat().st_size / (1 << 20)
        raise WeightsError(f"{model} takes {size:.1f} MiB as float16", f"at most {LARGEST_BYTES / (1 << 20):.3g} MiB")
    notes = ["Its kernels are float16; the scores are those before they were rounded."]
    if data is not None:
        packed.scores = _scores(load(file, device="cpu"), data, source.scores, session.commit)
        packed.save(file, half=True)
        notes = ["Its kernels are float16, and the scores are those of this file."]
        tell(f"scored on validation: mean IoU {packed.scores['mean_iou']:.4f}")
    digest = sha256_of(file)
    write_text(inside / INDEX, json.dumps({name: {"file": file.name, "sha256": digest}}, indent=1))
    pictures, told = _draw_streets(
        load(file, device="cpu"), inside / "streets.jpg", trained_on_streets=name == "streets"
    )
    notes += [told] if told else []
    text = card(
        file,
        name=name,
        licence=_licence_of(folder),
        notes=notes,
        pictures=[("generated streets: picture, truth, prediction", "streets.jpg")] if pictures else [],
    )
    for path in (folder / "README.md", inside / "README.md"):
        write_text(path, text)
    shutil.copy(folder / "LICENSE", inside / "LICENSE")
    tell(f"{file.name}: {file.stat().st_size / (1 << 20):.1f} MiB, sha256 {digest}")
    built = _wheel(folder, Path(out)) if wheel else None
    mean_iou = packed.scores.get("mean_iou")
    return BuiltPackage(folder, built, file, float(mean_iou) if mean_iou is not None else None)


def _fresh_copy(package: str, out: Path) -> Path:
    """Copy what a person has written into an empty folder."""
    folder = out / package
    if folder.exists():
        if not (folder / ".built").is_file():
            raise StorageError(f"{folder} is no earlier build", remedy="move it away, or build elsewhere")
        shutil.rmtree(folder)
    make_folder(out)
    shutil.copytree(HERE / package, folder, ignore=shutil.ignore_patterns("__pycache__"))
    write_text(folder / ".built", "by python -m models\n")
    return folder


def _scores(
    predictor: Predictor, data: str | PathLike[str], before: dict[str, Any], commit: str | None
) -> dict[str, Any]:
    """Score the file in the package on the validation split; what made the network stays as the training said it."""
    evaluation = evaluate(predictor, data, quick=True)
    found = evaluation.confusion.scores(evaluation.labels)
    made = {key: before.get(key) for key in ("step", "seed", "commit")}
    return {"split": "val", **made, "scored_by_commit": commit, **found}


def _draw_streets(predictor: Predictor, out: Path, *, trained_on_streets: bool) -> tuple[bool, str]:
    """Draw what the model sees in generated streets, beside what is there; and say how well, over more of them.

    Returns:
        Whether there is a picture, and a line for the card; neither for a model of other classes.
    """
    if predictor.labels.names != CAMVID.names:
        return False, ""
    total, rows = ConfusionMatrix(CAMVID.num_classes), []
    for index, seed in enumerate(_STREET_SEEDS):
        scene = render_scene(seed, (360, 480) if not trained_on_streets else (180, 240))
        assert scene.mask is not None
        labels = predictor(scene.image).labels
        total.add(scene.mask, labels)
        if index < _DRAWN:
            rows.append(np.asarray(panel(scene.image, scene.mask, labels, CAMVID)))
    picture = Image.fromarray(np.concatenate(rows))
    write_atomically(out, lambda temporary: picture.save(temporary, "JPEG", quality=88))
    kind = "of its kind that it has not seen" if trained_on_streets else "unlike the pictures that it was trained on"
    told = f"On {len(_STREET_SEEDS)} generated streets, {kind}, its mean IoU is {_text(total.mean_iou)}"
    return True, f"{told} (seeds {_STREET_SEEDS.start} to {_STREET_SEEDS.stop - 1})."


def _text(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "undefined"


def _licence_of(folder: Path) -> str | None:
    """Read the identifier of the licence from the package's metadata."""
    for line in (folder / "pyproject.toml").read_text("utf-8").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "license":
            return value.strip().strip('"')
    return None


def _wheel(folder: Path, out: Path) -> Path:
    """Build the wheel with hatchling, which works without a network."""
    import os

    hatchling = require_extra("hatchling.build", "building a wheel", "dev")
    before = Path.cwd()
    os.chdir(folder)
    try:
        return out.absolute() / str(hatchling.build_wheel(str(out.absolute())))
    finally:
        os.chdir(before)
