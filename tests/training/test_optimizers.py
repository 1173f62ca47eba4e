"""Parameter groups, the course of the learning rate, averages, minutes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from atonce.recipes.schema import OptimConfig
from atonce.training import Callback, StepRecord, TrainingRun, run_training
from atonce.training.losses import Losses
from atonce.training.muon import Muon
from atonce.training.optimizers import (
    MovingAverage,
    build_optimizer,
    learning_rate_factor,
    parameter_groups,
    set_learning_rate,
)
from tests.networks import small_network
from tests.tiny import log_of, tiny_recipe


def test_biases_learn_at_twice_the_rate_and_do_not_decay() -> None:
    model = small_network(upsampling="learned")
    groups = {
        g["name"]: g
        for g in parameter_groups(model, OptimConfig(name="adamw", lr=1e-3, weight_decay=0.1, trunk_lr_multiplier=0.5))
    }
    assert {name: (g["lr"], g["weight_decay"]) for name, g in groups.items()} == {
        "trunk kernels": (0.5e-3, 0.1),
        "trunk biases": (1e-3, 0.0),
        "head kernels": (1e-3, 0.1),
        "head biases": (2e-3, 0.0),
        "scores kernels": (1e-3, 0.1),
        "scores biases": (2e-3, 0.0),
    }
    assert all(p.ndim == 1 for name, g in groups.items() if "biases" in name for p in g["params"])
    assert all(p.ndim == 4 for name, g in groups.items() if "kernels" in name for p in g["params"])
    grouped = [id(p) for g in groups.values() for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters()), "each weight is in one group"


def test_layer_wise_rates_fall_from_block_to_block() -> None:
    model = small_network()
    config = OptimConfig(name="muon", lr=1e-3, trunk_lr_multiplier=0.5, trunk_lr_decay=0.5, bias_lr_multiplier=1)
    groups = {group["name"]: group for group in parameter_groups(model, config)}
    expected = {f"trunk block {block} kernels": 0.5e-3 * 0.5 ** (5 - block) for block in range(1, 6)}
    found = {name: groups[name]["lr"] for name in groups if name.startswith("trunk") and name.endswith("kernels")}
    assert found == pytest.approx(expected)
    assert groups["head kernels"]["lr"] == groups["scores kernels"]["lr"] == 1e-3
    names = {id(p): name for name, p in model.named_parameters()}
    assert [names[id(p)] for p in groups["trunk block 3 biases"]["params"]] == [
        f"trunk.conv3_{i}.bias" for i in (1, 2, 3)
    ]
    assert groups["trunk block 1 kernels"]["orthogonal"] and not groups["scores kernels"]["orthogonal"]
    grouped = [id(p) for group in groups.values() for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters()), "each weight is in one group"


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_decay_is_for_adamw_and_muon_alone(name: str) -> None:
    config = OptimConfig.model_validate({"name": name, "weight_decay": 0.1})
    assert {group["weight_decay"] for group in parameter_groups(small_network(), config)} == {0.0}


def test_what_is_frozen_is_in_no_group() -> None:
    names = [group["name"] for group in parameter_groups(small_network(freeze_trunk=True), OptimConfig())]
    assert names == ["head kernels", "head biases", "scores kernels", "scores biases"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("muon", Muon)],
)
def test_the_optimiser_is_the_one_asked_for(name: str, kind: type) -> None:
    optimizer = build_optimizer(small_network(), OptimConfig.model_validate({"name": name, "momentum": 0.8}))
    assert type(optimizer) is kind
    assert (optimizer.defaults["momentum"] if name == "sgd" else optimizer.defaults["betas"][0]) == 0.8


@pytest.mark.parametrize(
    ("schedule", "start", "middle", "end"),
    [("poly", 1.0, 0.5**0.9, 0.0), ("cosine", 1.0, 0.5, 0.0), ("constant", 1.0, 1.0, 1.0)],
)
def test_schedules_begin_at_the_peak_and_end_as_they_should(
    schedule: str, start: float, middle: float, end: float
) -> None:
    config = OptimConfig.model_validate({"schedule": schedule})
    found = [learning_rate_factor(config, step, progress) for step, progress in ((0, 0.0), (50, 0.5), (100, 1.0))]
    assert found == pytest.approx([start, middle, end], abs=1e-12)


def test_schedules_never_rise() -> None:
    for schedule in ("poly", "cosine"):
        config = OptimConfig.model_validate({"schedule": schedule})
        factors = [learning_rate_factor(config, step, step / 100) for step in range(101)]
        assert factors == sorted(factors, reverse=True)
        assert min(factors) >= 0


def test_the_warm_up_rises_in_equal_steps_to_below_the_peak() -> None:
    config = OptimConfig(warmup_steps=4, schedule="constant")
    assert [learning_rate_factor(config, step, 0) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


@pytest.mark.parametrize("steps", [9, 10, 27, 50, 281, 5000])
def test_the_warm_up_is_a_tenth_of_the_steps_at_most(steps: int) -> None:
    config = OptimConfig(warmup_steps=50, schedule="constant")
    found = [learning_rate_factor(config, step, step / steps, steps=steps) for step in range(steps)]
    length = min(50, steps // 10)
    assert found[:length] == pytest.approx([(step + 1) / (length + 1) for step in range(length)])
    assert set(found[length:]) == {1.0}


def test_the_warm_up_is_a_tenth_of_the_time_at_most() -> None:
    """27 steps fill the minutes, of 8000 that the recipe has."""
    config = OptimConfig(warmup_steps=50, schedule="constant")
    found = [learning_rate_factor(config, step, step / 27, steps=8000) for step in range(27)]
    assert found[:3] == pytest.approx([1 / 51, 10 / 27, 20 / 27])
    assert set(found[3:]) == {1.0}


def test_a_warm_up_within_a_tenth_is_what_it_was() -> None:
    config = OptimConfig(warmup_steps=50)
    found = [learning_rate_factor(config, step, step / 6000, steps=6000) for step in range(50)]
    assert found == [(step + 1) / 51 for step in range(50)]


def test_every_group_keeps_its_share_of_the_rate() -> None:
    optimizer = build_optimizer(small_network(), OptimConfig(lr=1e-2, trunk_lr_multiplier=0.1))
    set_learning_rate(optimizer, 0.25)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([2.5e-4, 5e-4, 2.5e-3, 5e-3, 2.5e-3, 5e-3])


def test_the_average_is_exponential_and_forgets_its_start() -> None:
    layer = nn.Linear(1, 1, bias=False).double()
    average = MovingAverage(layer, decay=0.5)
    expected, values = float(layer.weight.detach()), [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 6.0]
    for updates, value in enumerate(values):
        nn.init.constant_(layer.weight, value)
        average.update(layer)
        decay = min(0.5, (1 + updates) / (10 + updates))
        expected = decay * expected + (1 - decay) * value
        assert float(average.weights[0]) == pytest.approx(expected)


def test_swapping_twice_changes_no_bit() -> None:
    model = small_network()
    average = MovingAverage(model, 0.9)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    average.update(model)
    weights = [p.detach().clone() for p in model.parameters()]
    averages = [w.clone() for w in average.weights]
    average.swap(model)
    assert all(torch.equal(p, a) for p, a in zip(model.parameters(), averages, strict=True))
    average.swap(model)
    assert all(torch.equal(p, w) for p, w in zip(model.parameters(), weights, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(average.weights, averages, strict=True))


class Clock:
    """A clock that each step moves on by a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Ticking(Callback):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.records: list[StepRecord] = []

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        self.clock.now += 1.0

    def on_log(self, run: TrainingRun, record: StepRecord) -> None:
        self.records.append(record)


def test_the_minutes_end_the_run_and_bring_the_rate_to_its_end(
    street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("atonce.training.loop.time.monotonic", clock.monotonic)
    settings = ("train.max_minutes=0.2", "train.steps=1000", "optim.warmup_steps=0", "optim.poly_power=1", "optim.lr=1")
    # A rate of 1 is for reading off the schedule; the weights stay small because of clipping.
    recipe = tiny_recipe(*settings, "optim.clip_norm=1e-9", "optim.name=sgd", "optim.bias_lr_multiplier=1")
    run = run_training(recipe, street_data, tmp_path / "run", callback=Ticking(clock))
    rates = [row["lr"] for row in log_of(tmp_path / "run")]
    # 12 seconds, a second a step: the first step sees no time gone, the second one the second before it.
    assert run.progress.step < 20
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 1.0
    assert rates[-1] <= 2 / 12 + 1e-9
    assert run.progress.validations[-1]["step"] == run.progress.step, "the last weights were not validated"
    assert not math.isnan(run.progress.best_mean_iou)
