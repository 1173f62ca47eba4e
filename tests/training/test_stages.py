"""Training in stages: what one hands to the next, and that a run resumed across a border is the run left alone."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from atonce.errors import RecipeError, TrainingError
from atonce.model_file import load_model_file
from atonce.training import Callback, TrainingRun, fit, run_training, set_up
from atonce.training.losses import Losses
from atonce.training.stages import Stage, extend_to_stride, stages_of
from tests.networks import small_network
from tests.tiny import log_of, tiny_recipe
from tests.training.comparisons import assert_same_tensors, metrics_of, without_times

STAGED = (
    "schedule=staged",
    "train.steps=12",
    "train.validate_every=3",
    "train.save_every=3",
    "optim.lr=1e-3",
    "optim.bias_lr_multiplier=1",
    "stages.lr_factors=[1,0.5,0.25]",
    "optim.schedule=constant",
    "optim.warmup_steps=2",
    "model.dropout=0.5",
)


class Stopping(Callback):
    """Interrupts after a step, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_step(self, run: TrainingRun, losses: Losses) -> None:
        step = run.progress.step
        if step == self.after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def staged(street_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("staged") / "run"
    run_training(tiny_recipe(*STAGED), street_data, out)
    return out


def test_the_stages_of_a_recipe() -> None:
    thirds = stages_of(tiny_recipe("schedule=staged", "train.steps=3"))
    assert [(s.stride, s.lr_factor) for s in thirds] == [(32, 1.0), (16, 0.01), (8, 0.0001)]
    assert (thirds[0].begin, thirds[-1].end) == (0.0, 1.0)
    assert all(one.end == other.begin for one, other in itertools.pairwise(thirds))
    assert thirds[1].within(0.5) == pytest.approx(0.5)
    two = stages_of(tiny_recipe("schedule=staged", "model.stride=16", "stages.shares=[3,1,7]"))
    assert [(s.stride, s.end) for s in two] == [(32, 0.75), (16, 1.0)]
    assert stages_of(tiny_recipe()) == (Stage(8),)
    with pytest.raises(RecipeError, match=r"leave FCN-32s 0.67 of 2 steps; expected a step or more"):
        stages_of(tiny_recipe("schedule=staged", "train.steps=2"))


@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
def test_a_network_of_a_finer_stride_starts_with_the_coarser_ones_predictions(upsampling: str) -> None:
    small: dict[str, Any] = {"head_width": 16, "score_init": "glorot", "freeze_trunk": True}
    coarse = small_network(stride=32, skip_scales=(0.5, 0.25), upsampling=upsampling, **small).eval()
    image = torch.rand(1, 3, 256, 256) * 255
    network = coarse
    for stride in (16, 8):
        network = extend_to_stride(network, stride).eval()
        assert network.config.stride == stride
        assert network.scales == {16: {4: 0.5}, 8: {4: 0.5, 3: 0.25}}[stride]
        assert not any(p.requires_grad for p in network.trunk.parameters())
        with torch.inference_mode():
            one, two = (n(image)[..., 64:-64, 64:-64] for n in (coarse, network))
        # Upsampling by 2 and by 16 is nearly upsampling by 32, away from the border.
        assert float((one - two).abs().mean()) < 0.15 * float((one - one.mean((2, 3), keepdim=True)).abs().mean())


def test_one_run_ends_in_an_ordinary_fcn_8s(staged: Path) -> None:
    model = load_model_file(staged / "model.safetensors").model
    assert model.config.stride == 8
    assert set(model.score_pools) == {"pool4", "pool3"}
    rows = metrics_of(staged)
    assert [(row["step"], row["stride"]) for row in rows] == [
        ("3", "32"), ("4", "32"), ("6", "16"), ("8", "16"), ("9", "8"), ("12", "8"),
    ]  # fmt: skip
    assert load_model_file(staged / "last.safetensors").scores["step"] == 12
    rates = [record["lr"] for record in log_of(staged)]
    # Each stage keeps its share of the rate; one of four steps is too short for a warm-up.
    assert rates == pytest.approx([1e-3 * f for f in (1, 0.5, 0.25) for _ in range(4)])


def test_each_stage_warms_up_anew(street_data: Path, tmp_path: Path) -> None:
    longer = ("train.steps=60", "train.validate_every=60", "train.save_every=60", "optim.lr=1e-4")
    run_training(tiny_recipe(*STAGED, *longer), street_data, tmp_path / "run")
    rates = [record["lr"] for record in log_of(tmp_path / "run")]
    assert rates == pytest.approx([1e-4 * f * w for f in (1, 0.5, 0.25) for w in (1 / 3, 2 / 3, *[1] * 18)])


@pytest.mark.parametrize("decay", [0, 0.9])
def test_interrupted_on_either_side_of_a_border_it_ends_with_the_same_bits(
    street_data: Path, tmp_path: Path, decay: float
) -> None:
    recipe = tiny_recipe(*STAGED, f"optim.ema_decay={decay}")
    run_training(recipe, street_data, tmp_path / "alone")
    # 3: stage one; 4: its last step, the state is of step 3; 5: saved before the border; 9: the last stage.
    for after in (3, 4, 5, 7, 9, 10):
        with pytest.raises(KeyboardInterrupt):
            run_training(
                recipe, street_data, tmp_path / "run", resume=(tmp_path / "run").exists(), callback=Stopping(after)
            )
    run_training(recipe, street_data, tmp_path / "run", resume=True)
    for name in ("model.safetensors", "last.safetensors", "state/state.safetensors"):
        assert_same_tensors(tmp_path / "run" / name, tmp_path / "alone" / name)
    assert without_times(log_of(tmp_path / "run")) == without_times(log_of(tmp_path / "alone"))
    assert metrics_of(tmp_path / "run") == metrics_of(tmp_path / "alone")


def test_each_stage_has_a_fresh_optimizer_and_keeps_what_was_learned(street_data: Path, tmp_path: Path) -> None:
    run = set_up(tiny_recipe(*STAGED), street_data, tmp_path / "run", resume=False, callback=Callback())
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.progress.step = 4
    run.next_stage()
    after: dict[str, Any] = run.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not after["score_pools.pool4.weight"].any() and not after["score_pools.pool4.bias"].any()
    assert not run.optimizer.state_dict()["state"]
    assert (run.progress.stage, run.progress.stage_began, run.progress.best_mean_iou) == (1, 4, -1.0)
    assert run.progress.model["stride"] == 16


def test_the_clock_ends_every_stage(street_data: Path, tmp_path: Path) -> None:
    """A run that is cut short by its minutes is an FCN-8s all the same."""
    recipe = tiny_recipe(*STAGED, "train.max_minutes=1e-5")
    fit(set_up(recipe, street_data, tmp_path / "run", resume=False, callback=Callback()), Callback())
    assert load_model_file(tmp_path / "run" / "model.safetensors").model.config.stride == 8


def test_a_state_of_another_schedule_is_refused(staged: Path, street_data: Path) -> None:
    with pytest.raises(TrainingError, match=r"in stage 3 of 1 \(schedule\)"):
        run_training(tiny_recipe(*STAGED, "schedule=at-once"), street_data, staged, resume=True)


def test_variants_that_share_layers_start_them_alike(street_data: Path, tmp_path: Path) -> None:
    """FCN-32s and FCN-8s of one seed differ by the skips alone: what is compared is the skips."""
    weights = []
    for stride in (32, 8):
        recipe = tiny_recipe(f"model.stride={stride}")
        weights.append(
            set_up(recipe, street_data, tmp_path / str(stride), resume=False, callback=Callback()).model.state_dict()
        )
    assert all(torch.equal(weights[1][name], tensor) for name, tensor in weights[0].items())
