"""What the first edition (commit b603e43) has written is read: a model file, an export, a run to be resumed.

`run/` was made by its code: `write_streets(data, 4, 2, size=(48, 64))`, then `train` with the recipe "streets" and
model.width=0.02, model.head_width=4, train.steps=2, train.validate_every=2, train.save_every=2, train.log_every=1,
train.pictures=0, train.batch_size=2, train.precision=fp32, train.checkpoint=true, optim.ema_decay=0.9,
data.crop=[48,64], data.workers=1, data.format=folder; `atonce export --to onnx`.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

import atonce as package
from atonce.recipes import load_recipe
from atonce.recipes.recipe_files import build
from atonce.streets import render_scene, write_streets
from tests.tiny import log_of

RUN = Path(__file__).parent / "run"

# Of that model and scene 7 at 40x56, by the first edition.
LOGITS_SUM, LABELS = 21.387191772460938, "3fb4add00669def5"


@pytest.fixture(scope="module")
def street() -> np.ndarray:
    return render_scene(7, (40, 56)).image


def test_its_model_files_give_the_same_results(street: np.ndarray) -> None:
    result = package.load(RUN)(street)
    assert float(result.logits.sum()) == pytest.approx(LOGITS_SUM, rel=1e-5)
    assert hashlib.sha256(result.labels.tobytes()).hexdigest()[:16] == LABELS
    assert build(package.load(RUN).model_file.recipe, "of the model file").train.activation_checkpointing


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_its_exports_do_too(street: np.ndarray, engine: str) -> None:
    pytest.importorskip(engine, reason="the extra `export` is not installed")
    labels = package.load(RUN / "model.onnx", engine=engine)(street).labels
    assert hashlib.sha256(labels.tobytes()).hexdigest()[:16] == LABELS


def test_its_runs_go_on(tmp_path: Path) -> None:
    assert "checkpoint: true" in (RUN / "recipe.yaml").read_text()
    assert load_recipe(RUN / "recipe.yaml").train.activation_checkpointing
    data = write_streets(tmp_path / "data", train=4, val=2, size=(48, 64))
    shutil.copytree(RUN, tmp_path / "run")
    before = log_of(RUN)
    run = package.train(data, out=tmp_path / "run", resume=True, overrides={"train.steps": 3}, progress=False)
    assert (run.steps, log_of(run.folder)[:2]) == (3, before)
    assert "activation_checkpointing: true" in (run.folder / "recipe.yaml").read_text()


def test_its_weights_are_pretrained_weights(tmp_path: Path, street_data: Path) -> None:
    from tests.tiny import SETTINGS

    overrides = [*SETTINGS, "model.width=0.02", "model.head_width=4", "train.steps=1"]
    run = package.train(
        street_data, recipe="streets", weights=RUN / "model.safetensors", overrides=overrides, out=tmp_path / "run"
    )
    assert run.steps == 1
