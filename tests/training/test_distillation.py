"""Distillation: the term, by hand; what a teacher is asked; and that a run keeps to the teacher it began with."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from atonce.data import open_dataset
from atonce.data.input_size import InputSize
from atonce.errors import TrainingError, WeightsError
from atonce.labels import CAMVID, LabelSpec
from atonce.model import FCN
from atonce.model_file import load_model_file
from atonce.recipes import load_recipe
from atonce.storage import sha256_of
from atonce.training import Callback, fit, run_training, set_up
from atonce.training.distillation import Teacher, distillation_sum, load_teacher
from tests.networks import small_network
from tests.tiny import log_of, make_void, streets, tiny_recipe

SIZES = {(64, 48): 6}
CPU = torch.device("cpu")


def softmax(scores: list[float], temperature: float) -> list[float]:
    powers = [math.exp(s / temperature) for s in scores]
    return [p / sum(powers) for p in powers]


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_term_is_the_divergence_from_teacher_to_student_over_the_classes(temperature: float) -> None:
    student, teacher = [[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], [[2.0, 0.5, -1.0], [0.0, 0.0, 4.0]]  # two pixels
    by_hand = 0.0
    for own, told in zip(student, teacher, strict=True):
        q, p = softmax(own, temperature), softmax(told, temperature)
        by_hand += temperature**2 * sum(pk * math.log(pk / qk) for pk, qk in zip(p, q, strict=True))
    mine, theirs = (torch.tensor(scores).T.reshape(1, 3, 1, 2) for scores in (student, teacher))
    assert float(distillation_sum(mine, theirs, temperature)) == pytest.approx(by_hand, rel=1e-5)
    assert float(distillation_sum(mine, mine, temperature)) == pytest.approx(0, abs=1e-6)
    # A constant on all logits of a pixel changes no probability.
    assert float(distillation_sum(mine + 7, theirs - 3, temperature)) == pytest.approx(by_hand, rel=1e-4)


def test_its_gradient_is_the_difference_of_the_soft_probabilities_times_the_temperature() -> None:
    student, teacher = torch.randn(2, 4, 3, 5, dtype=torch.float64), torch.randn(2, 4, 3, 5, dtype=torch.float64)
    student.requires_grad_()
    distillation_sum(student, teacher, 3.0).backward()
    expected = 3.0 * (F.softmax(student.detach() / 3, 1) - F.softmax(teacher / 3, 1))
    torch.testing.assert_close(student.grad, expected, rtol=1e-4, atol=1e-6)


def test_a_teacher_that_learned_at_another_size_is_shown_the_crop_at_that_size() -> None:
    model = small_network().eval()
    crop = torch.rand(2, 3, 48, 64) * 255
    assert torch.equal(Teacher(model, "")(crop), model(crop))
    with torch.no_grad():
        seen = F.interpolate(crop, (96, 128), mode="bilinear", align_corners=False, antialias=True)
        expected = F.interpolate(model(seen), (48, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(Teacher(model, "", zoom=2.0)(crop), expected)


@pytest.mark.parametrize(
    ("teacher", "student", "zoom"),
    [
        (InputSize(), InputSize(), 1.0),
        (InputSize(1.0), InputSize(0.5), 2.0),
        (InputSize(0.25, 40), InputSize(0.25, 40), 1.0),
        (InputSize(1.0, 32), InputSize(1.0), 0.5),
        (InputSize(1.0), InputSize(size=(24, 16)), (2.0, 4.0)),
        (InputSize(size=(24, 16)), InputSize(size=(24, 16)), 1.0),
    ],
)
def test_the_zoom_follows_from_both_sizes(
    street_data: Path,
    tiny_model: Path,
    tmp_path: Path,
    teacher: InputSize,
    student: InputSize,
    zoom: float | tuple[float, float],
) -> None:
    described = load_model_file(tiny_model)
    described.input_size = teacher
    described.save(tmp_path / "teacher.safetensors")
    side = "null" if student.max_side is None else student.max_side
    recipe = tiny_recipe(
        f"distill.teacher={tmp_path / 'teacher.safetensors'}",
        f"data.scale={student.scale}",
        f"data.max_side={side}",
        f"data.size={list(student.size) if student.size else 'null'}",
    )
    found = load_teacher(recipe, open_dataset(street_data), SIZES, CPU)
    assert found is not None
    assert found.zoom == zoom
    assert not found.model.training
    assert not any(p.requires_grad for p in found.model.parameters())


def test_a_recipe_without_a_teacher_has_none(street_data: Path) -> None:
    assert load_teacher(tiny_recipe("distill.weight=1"), open_dataset(street_data), SIZES, CPU) is None


@pytest.mark.parametrize("names", [CAMVID.names[::-1], CAMVID.names[:-1], ("road", "other")])
def test_a_teacher_of_other_classes_is_refused_in_one_line(
    street_data: Path, tiny_model: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    described = load_model_file(tiny_model)
    described.labels = LabelSpec.from_names(names)
    described.model = FCN(described.model.config, len(names))
    path = tmp_path / "teacher.safetensors"
    described.save(path)
    with pytest.raises(WeightsError, match=rf"the teacher \S*teacher.safetensors knows {len(names)} classes") as caught:
        run_training(tiny_recipe(f"distill.teacher={path}"), street_data, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def with_teacher(teacher: Path, *overrides: str) -> Any:
    return tiny_recipe(f"distill.teacher={teacher}", "model.head_width=8", *overrides)


def test_the_run_records_its_teacher_and_the_terms(street_data: Path, tiny_model: Path, tmp_path: Path) -> None:
    before = tiny_model.read_bytes()
    run_training(with_teacher(tiny_model, "distill.weight=0.25", "loss.l2=1e-3"), street_data, tmp_path / "run")
    for row in log_of(tmp_path / "run"):
        expected = 0.75 * row["cross_entropy"] + 0.25 * row["distillation"] + row["l2"]
        assert row["loss"] == pytest.approx(expected, rel=1e-6)
        assert row["distillation"] > 0
    assert load_recipe(tmp_path / "run" / "recipe.yaml").distill.teacher == str(tiny_model)
    model = load_model_file(tmp_path / "run" / "model.safetensors")
    assert model.training_data["teacher"] == sha256_of(tiny_model)
    assert model.model.config.head_width == 8
    assert tiny_model.read_bytes() == before


def test_without_a_teacher_there_is_no_such_term(tiny_run: Path) -> None:
    assert all(row["distillation"] is None for row in log_of(tiny_run))
    assert "teacher" not in load_model_file(tiny_run / "model.safetensors").training_data


def test_a_student_learns_what_the_teacher_says_of_void_pixels(tiny_model: Path, tmp_path: Path) -> None:
    """From masks that are void but for a strip of one class, the teacher's classes come all the same."""
    data = make_void(streets(tmp_path / "data"))
    for path in sorted((data / "train" / "masks").glob("*.png")):
        mask = np.array(Image.open(path))
        mask[4:], mask[:4] = 255, 0
        Image.fromarray(mask).save(path)
    recipe = with_teacher(
        tiny_model, "distill.weight=1", "train.steps=60", "train.validate_every=60", "optim.lr=1e-2", "augment.flip=0"
    )
    run_training(recipe, data, tmp_path / "run")
    log = log_of(tmp_path / "run")
    assert log[-1]["distillation"] < 0.5 * log[0]["distillation"]
    assert log[-1]["loss"] == log[-1]["distillation"]


def test_a_teacher_is_asked_in_evaluation_mode_in_every_step(
    street_data: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = set_up(with_teacher(tiny_model), street_data, tmp_path / "run", resume=False, callback=Callback())
    assert run.teacher is not None
    assert run.teacher.model is not run.model
    run.wrapped.train()
    assert not run.teacher.model.training
    opinion = run.teacher(torch.rand(1, 3, 48, 64) * 255)
    assert not opinion.requires_grad
    trained = {id(p) for group in run.optimizer.param_groups for p in group["params"]}
    assert not trained & {id(p) for p in run.teacher.model.parameters()}
    asked: list[bool] = []
    ask = Teacher.__call__

    def watch(teacher: Teacher, images: torch.Tensor) -> torch.Tensor:
        asked.append(any(module.training for module in teacher.model.modules()))
        return ask(teacher, images)

    monkeypatch.setattr(Teacher, "__call__", watch)
    fit(run, Callback())
    assert asked == [False] * 4


class TestResume:
    @pytest.fixture
    def run(self, street_data: Path, tiny_model: Path, tmp_path: Path) -> Path:
        shutil.copy(tiny_model, tmp_path / "teacher.safetensors")
        run_training(with_teacher(tmp_path / "teacher.safetensors"), street_data, tmp_path / "run")
        return tmp_path / "run"

    def test_the_same_file_may_lie_elsewhere(self, run: Path, street_data: Path, tmp_path: Path) -> None:
        moved = (tmp_path / "teacher.safetensors").rename(tmp_path / "moved.safetensors")
        with pytest.raises(WeightsError, match=r"teacher\.safetensors does not exist"):
            run_training(load_recipe(run / "recipe.yaml", ["train.steps=6"]), street_data, run, resume=True)
        recipe = load_recipe(run / "recipe.yaml", ["train.steps=6", f"distill.teacher={moved}"])
        run_training(recipe, street_data, run, resume=True)
        assert [row["step"] for row in log_of(run)] == [1, 2, 3, 4, 5, 6]

    def test_another_teacher_in_its_place_is_refused(self, run: Path, street_data: Path, tmp_path: Path) -> None:
        shutil.copy(run / "last.safetensors", tmp_path / "teacher.safetensors")
        state = (run / "state" / "state.safetensors").read_bytes()
        with pytest.raises(TrainingError, match=r"has sha256 \w+\.\.\.; expected that of the teacher the run began"):
            run_training(load_recipe(run / "recipe.yaml", ["train.steps=6"]), street_data, run, resume=True)
        assert (run / "state" / "state.safetensors").read_bytes() == state

    def test_it_may_go_on_without(self, run: Path, street_data: Path) -> None:
        run_training(
            load_recipe(run / "recipe.yaml", ["train.steps=6", "distill.teacher=null"]), street_data, run, resume=True
        )
        assert [row["distillation"] is None for row in log_of(run)] == [False] * 4 + [True] * 2
