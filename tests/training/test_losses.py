"""The loss, against computations by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import kornia
import pytest
import torch
from torch import Tensor

from atonce.data.batches import Batch
from atonce.errors import RecipeError
from atonce.model import FCN
from atonce.recipes.schema import LossConfig
from atonce.training import Callback, set_up
from atonce.training.loop import update
from atonce.training.losses import (
    adjust_logits,
    cross_entropy_sum,
    dice_sum,
    focal_sum,
    kernels,
    l2_penalty,
    lovasz_sum,
    mask_losses,
    valid_weight,
)
from atonce.training.step_log import StepLog
from tests.networks import small_network
from tests.tiny import tiny_recipe

COEFFICIENT = 0.25


def gradients(model: FCN, images: Tensor, labels: Tensor, coefficient: float) -> dict[str, Tensor]:
    model.zero_grad()
    loss = cross_entropy_sum(model(images), labels) / valid_weight(labels).float()
    (loss + l2_penalty(model, coefficient)).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (2, 3, 32, 40), dtype=torch.uint8)


@pytest.fixture
def labels() -> Tensor:
    labels = torch.randint(0, 3, (2, 32, 40))
    labels[0, :20] = 255
    return labels


@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
def test_l2_adds_its_coefficient_times_the_kernel_to_the_gradient_of_kernels_alone(
    images: Tensor, labels: Tensor, upsampling: str
) -> None:
    model = small_network(dropout=0, upsampling=upsampling).double()
    without, with_l2 = (gradients(model, images, labels, c) for c in (0.0, COEFFICIENT))
    parameters = dict(model.named_parameters())
    assert without.keys() == with_l2.keys() == parameters.keys()
    for name, parameter in parameters.items():
        share = with_l2[name] - without[name]
        if name.endswith(".bias"):
            assert not share.any(), name
        else:
            torch.testing.assert_close(share, COEFFICIENT * parameter.detach(), rtol=1e-9, atol=1e-12, msg=name)


def test_fixed_upsampling_has_no_parameters_to_be_pulled_to_zero() -> None:
    assert not [
        name for name, _ in small_network(dropout=0, upsampling="fixed").named_parameters() if name.startswith("up_")
    ]
    assert [
        name for name, _ in small_network(dropout=0, upsampling="learned").named_parameters() if name.startswith("up_")
    ]


def test_l2_leaves_a_frozen_trunk_out() -> None:
    model = small_network(dropout=0, freeze_trunk=True)
    head = sum(
        float(p.detach().square().sum()) for n, p in model.named_parameters() if p.ndim == 4 and "trunk" not in n
    )
    assert float(l2_penalty(model, 2.0).detach()) == pytest.approx(head)
    assert not any(p is k for p in model.trunk.parameters() for k in kernels(model))


def test_cross_entropy_runs_over_the_class_axis() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])  # two pixels, three classes
    labels = torch.tensor([0, 2])
    by_hand = -sum(
        math.log(math.exp(row[label]) / sum(math.exp(v) for v in row))
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    )
    as_picture = logits.T.reshape(1, 3, 1, 2)
    assert float(cross_entropy_sum(as_picture, labels.reshape(1, 1, 2))) == pytest.approx(by_hand, rel=1e-6)


def test_flattening_the_pixels_first_changes_nothing(labels: Tensor) -> None:
    """No reshape is needed before the softmax: it runs over the class axis wherever that is. Nor does the reshape that
    people write, of (N, C, H, W) to (N * H * W, C), give that: it takes neighbouring pixels for classes."""
    logits = torch.randn(2, 3, 32, 40, dtype=torch.float64, requires_grad=True)
    rows = logits.permute(0, 2, 3, 1).reshape(-1, 3)
    ours = cross_entropy_sum(logits, labels)
    flat = torch.nn.functional.cross_entropy(rows.float(), labels.reshape(-1), ignore_index=255, reduction="sum")
    assert float(ours.detach()) == pytest.approx(float(flat.detach()), rel=1e-6)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, flat)))
    wrong = torch.nn.functional.cross_entropy(
        logits.reshape(-1, 3).float(), labels.reshape(-1), ignore_index=255, reduction="sum"
    )
    assert float(wrong.detach()) != pytest.approx(float(flat.detach()), rel=1e-3)


def test_void_pixels_do_not_matter(images: Tensor, labels: Tensor) -> None:
    logits = torch.randn(2, 3, 32, 40)
    changed = torch.where((labels == 255)[:, None], torch.randn_like(logits) * 50, logits)
    assert torch.equal(cross_entropy_sum(logits, labels), cross_entropy_sum(changed, labels))
    logits.requires_grad_()
    cross_entropy_sum(logits, labels).backward()
    assert logits.grad is not None
    assert not logits.grad.permute(0, 2, 3, 1)[labels == 255].any()
    assert float(valid_weight(labels)) == int((labels != 255).sum())


def test_weights_count_in_the_sum_and_in_what_it_is_divided_by(labels: Tensor) -> None:
    weights = torch.tensor([0.5, 2.0, 3.0])
    logits = torch.randn(2, 3, 32, 40)
    mean = cross_entropy_sum(logits, labels, weights) / valid_weight(labels, weights)
    expected = torch.nn.functional.cross_entropy(logits, labels, weights, ignore_index=255)
    assert float(mean) == pytest.approx(float(expected), rel=1e-6)


def gradient_at_true_probabilities(loss: LossConfig, weights: Tensor | None) -> Tensor:
    """The gradient (C,) by the logits where softmax(logits) is how often each class occurs in a picture that shows
    nothing else: 60, 30 and 10 of 100 pixels."""
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10).reshape(1, 10, 10)
    logits = torch.tensor([0.6, 0.3, 0.1]).log()[None, :, None, None].expand(1, 3, 10, 10).clone().requires_grad_()
    shares = mask_losses(loss, logits, labels, class_weights=weights, weight=valid_weight(labels, weights), pictures=1)
    shares["cross_entropy"].backward()
    assert logits.grad is not None
    return logits.grad.sum((0, 2, 3))


class TestLogitAdjustment:
    """Class weights let rare classes learn sooner; the network need not predict them more often for it."""

    weights: ClassVar = torch.tensor([0.5, 1.0, 4.0])

    def test_the_weighted_loss_is_least_at_the_true_probabilities(self) -> None:
        gradient = gradient_at_true_probabilities(LossConfig(logit_adjustment=1), self.weights)
        assert gradient.abs().max() < 1e-6

    def test_without_it_weights_draw_the_network_to_the_rare_class(self) -> None:
        gradient = gradient_at_true_probabilities(LossConfig(), self.weights)
        assert gradient[2] < -0.1
        assert gradient[0] > 0.1

    def test_half_of_it_draws_half_way(self) -> None:
        whole = gradient_at_true_probabilities(LossConfig(), self.weights)
        half = gradient_at_true_probabilities(LossConfig(logit_adjustment=0.5), self.weights)
        assert whole[2] < half[2] < 0

    def test_without_weights_it_counts_for_nothing(self) -> None:
        plain = gradient_at_true_probabilities(LossConfig(), None)
        assert torch.equal(gradient_at_true_probabilities(LossConfig(logit_adjustment=1), None), plain)

    def test_a_class_of_weight_0_stays_finite(self) -> None:
        adjusted = adjust_logits(torch.zeros(1, 3, 2, 2), torch.tensor([0.0, 1.0, 2.0]), 1.0)
        assert adjusted[0, :, 0, 0].tolist() == pytest.approx([0, 0, math.log(2)])

    def test_the_focal_loss_is_adjusted_as_well(self) -> None:
        labels, weights = torch.full((1, 2, 2), 2), self.weights
        logits = torch.randn(1, 3, 2, 2)
        found = mask_losses(
            LossConfig(focal=1, logit_adjustment=1), logits, labels,
            class_weights=weights, weight=torch.tensor(1.0), pictures=1,
        )  # fmt: skip
        expected = focal_sum(logits + weights.log()[:, None, None], labels, weights, gamma=2.0)
        assert float(found["focal"]) == pytest.approx(float(expected))


class TestUpdate:
    """One step of the loop itself."""

    @staticmethod
    def batch(labels: Tensor) -> Batch:
        images = torch.randint(0, 256, (len(labels), 3, 48, 64), dtype=torch.uint8)
        sizes = ((48, 64),) * len(labels)
        return Batch(
            images=images, masks=labels.to(torch.uint8), sizes=sizes, targets=sizes, positions=tuple(range(len(labels)))
        )

    @staticmethod
    def step(data: Path, out: Path, labels: Tensor, *overrides: str) -> tuple[float, float, list[Tensor]]:
        plain = ("augment.flip=0", "augment.scale=[1,1]", "optim.name=sgd", "optim.momentum=0", "optim.clip_norm=null")
        recipe = tiny_recipe(*plain, "loss.class_weights=none", f"train.batch_size={len(labels)}", *overrides)
        run = set_up(recipe, data, out, resume=False, callback=Callback())
        before = [p.detach().clone() for p in run.model.parameters()]
        torch.manual_seed(1)
        losses = update(run, TestUpdate.batch(labels), StepLog(run, Callback()))
        return (
            losses.cross_entropy,
            losses.l2,
            [b - p.detach() for b, p in zip(before, run.model.parameters(), strict=True)],
        )

    def test_the_mean_is_over_the_valid_pixels_of_the_whole_batch(self, street_data: Path, tmp_path: Path) -> None:
        labels = torch.randint(0, 11, (4, 48, 64))
        labels[0], labels[1, :45] = 255, 255
        whole = self.step(street_data, tmp_path / "whole", labels)
        parts = self.step(street_data, tmp_path / "parts", labels, "train.accumulate=4")
        assert parts[0] == pytest.approx(whole[0], rel=1e-6)
        for one, other in zip(whole[2], parts[2], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-7)

    def test_one_step_moves_every_layer(self, street_data: Path, tmp_path: Path) -> None:
        """Nothing is frozen: the first convolution is trained as the last score layer is."""
        *_, moved = self.step(street_data, tmp_path / "run", torch.randint(0, 11, (2, 48, 64)), "optim.lr=0.1")
        assert len(moved) == 2 * (13 + 2 + 3), "kernels and biases of the trunk, fc6 and fc7, three score layers"
        assert all(change.any() for change in moved)

    def test_a_batch_without_a_valid_pixel_is_finite_and_moves_nothing(self, street_data: Path, tmp_path: Path) -> None:
        cross_entropy, l2, moved = self.step(street_data, tmp_path / "run", torch.full((2, 48, 64), 255))
        assert (cross_entropy, l2) == (0.0, 0.0)
        assert not any(change.any() for change in moved)

    def test_l2_is_counted_once_whatever_the_number_of_parts(self, street_data: Path, tmp_path: Path) -> None:
        labels = torch.full((4, 48, 64), 255)
        _, whole, one = self.step(street_data, tmp_path / "one", labels, "loss.l2=0.1")
        _, parts, four = self.step(street_data, tmp_path / "four", labels, "loss.l2=0.1", "train.accumulate=4")
        assert whole == pytest.approx(parts)
        assert whole > 0
        for a, b in zip(one, four, strict=True):
            torch.testing.assert_close(a, b)


def onehot(labels: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(labels.clamp_max(classes - 1), classes).movedim(-1, 1).double()


class TestLossesBesideTheCrossEntropy:
    """Focal, Dice and Lovász, against computations by hand."""

    LOSSES: ClassVar = {
        "focal": lambda logits, labels: focal_sum(logits, labels, gamma=2.0),
        "dice": dice_sum,
        "lovasz": lovasz_sum,
        "smoothed": lambda logits, labels: cross_entropy_sum(logits, labels, smoothing=0.1),
    }

    @pytest.fixture
    def logits(self) -> Tensor:
        return torch.randn(2, 3, 32, 40) * 2

    @pytest.mark.parametrize("name", LOSSES)
    def test_void_pixels_do_not_matter(self, name: str, logits: Tensor, labels: Tensor) -> None:
        loss = self.LOSSES[name]
        changed = torch.where((labels == 255)[:, None], torch.randn_like(logits) * 50, logits).requires_grad_()
        torch.testing.assert_close(loss(logits, labels), loss(changed, labels).detach())
        loss(changed, labels).backward()
        assert changed.grad is not None and changed.grad.isfinite().all()
        at_void = changed.grad.permute(0, 2, 3, 1)[labels == 255]
        assert not at_void.any() and changed.grad.any()

    @pytest.mark.parametrize("name", LOSSES)
    def test_a_batch_is_the_sum_of_its_parts(self, name: str, logits: Tensor, labels: Tensor) -> None:
        loss = self.LOSSES[name]
        parts = sum(loss(logits[i : i + 1], labels[i : i + 1]) for i in range(2))
        torch.testing.assert_close(loss(logits, labels), parts)

    @pytest.mark.parametrize("name", LOSSES)
    def test_a_picture_of_void_is_finite_and_counts_nothing(self, name: str, logits: Tensor) -> None:
        logits.requires_grad_()
        loss = self.LOSSES[name](logits, torch.full((2, 32, 40), 255))
        assert float(loss.detach()) == 0
        if loss.requires_grad:
            loss.backward()
            assert logits.grad is not None and not logits.grad.any()

    @pytest.mark.parametrize("name", ["focal", "dice", "lovasz"])
    def test_what_is_right_costs_nothing(self, name: str, labels: Tensor) -> None:
        perfect = (onehot(labels, 3) * 60).float()
        assert float(self.LOSSES[name](perfect, labels)) == pytest.approx(0, abs=1e-5)

    def test_focal_is_the_cross_entropy_of_each_pixel_times_what_it_lacks(self, logits: Tensor, labels: Tensor) -> None:
        weights = torch.tensor([0.5, 2.0, 3.0])
        expected = 0.0
        for scores, truth in zip(logits.movedim(1, -1).reshape(-1, 3).double(), labels.flatten(), strict=True):
            if truth != 255:
                p = float(scores.softmax(0)[truth])
                expected -= float(weights[truth]) * (1 - p) ** 3 * math.log(p)
        assert float(focal_sum(logits, labels, weights, gamma=3.0)) == pytest.approx(expected, rel=1e-4)

    def test_dice_is_over_the_classes_that_a_picture_shows(self, logits: Tensor, labels: Tensor) -> None:
        labels[1][labels[1] == 2] = 0
        expected = 0.0
        for scores, truth in zip(logits.double(), labels, strict=True):
            valid = truth != 255
            p, t = scores.softmax(0)[:, valid], onehot(truth[None], 3)[0][:, valid]
            present = [c for c in range(3) if t[c].any()]
            expected += sum(1 - 2 * float((p[c] * t[c]).sum() / (p[c] + t[c]).sum()) for c in present) / len(present)
        assert float(dice_sum(logits, labels)) == pytest.approx(expected, rel=1e-5)

    def test_lovasz_of_certain_predictions_is_one_minus_iou(self, labels: Tensor) -> None:
        guess = torch.randint(0, 3, labels.shape)
        certain = (onehot(guess, 3) * 200).float()
        expected = 0.0
        for said, truth in zip(guess, labels, strict=True):
            valid = truth != 255
            for c in range(3):
                both, either = (said == c) & (truth == c) & valid, ((said == c) | (truth == c)) & valid
                expected += (1 - int(both.sum()) / int(either.sum())) / 3
        assert float(lovasz_sum(certain, labels)) == pytest.approx(expected, rel=1e-5)

    def test_lovasz_is_kornias_where_every_class_is_there(self, logits: Tensor) -> None:
        if tuple(map(int, kornia.__version__.split(".")[:2])) < (0, 9):
            pytest.skip("kornia sorted the labels of another class before 0.9")
        labels = torch.randint(0, 3, (2, 32, 40))
        expected = 2 * kornia.losses.lovasz_softmax_loss(logits, labels)
        torch.testing.assert_close(lovasz_sum(logits, labels), expected)

    def test_smoothing_spreads_a_share_of_the_label(self, logits: Tensor, labels: Tensor) -> None:
        target = 0.9 * onehot(labels, 3) + 0.1 / 3
        each = -(target * logits.double().log_softmax(1)).sum(1)
        expected = float(each[labels != 255].sum())
        assert float(cross_entropy_sum(logits, labels, smoothing=0.1)) == pytest.approx(expected, rel=1e-5)

    EVERY = ("loss.cross_entropy=0.7", "loss.focal=0.5", "loss.dice=0.6", "loss.lovasz=0.4", "loss.label_smoothing=0.1")

    def test_the_update_minimises_their_sum(self, street_data: Path, tmp_path: Path) -> None:
        """Gradients add up: a step with all of them is the sum of the steps with each alone."""
        labels = torch.randint(0, 11, (4, 48, 64))
        labels[0], labels[1, :45] = 255, 255
        off = ("loss.cross_entropy=0", "loss.l2=0", "loss.label_smoothing=0.1")
        alone = [
            TestUpdate.step(street_data, tmp_path / key.partition("=")[0], labels, *off, key)[2]
            for key in self.EVERY[:4]
        ]
        together = TestUpdate.step(street_data, tmp_path / "all", labels, "loss.l2=0", *self.EVERY)[2]
        for one, *each in zip(together, *alone, strict=True):
            torch.testing.assert_close(one, torch.stack(each).sum(0), rtol=1e-3, atol=1e-6)

    def test_parts_have_the_gradient_of_the_whole_batch(self, street_data: Path, tmp_path: Path) -> None:
        labels = torch.randint(0, 11, (4, 48, 64))
        labels[0], labels[1, :45] = 255, 255
        whole = TestUpdate.step(street_data, tmp_path / "whole", labels, *self.EVERY)
        parts = TestUpdate.step(street_data, tmp_path / "parts", labels, *self.EVERY, "train.accumulate=4")
        for one, other in zip(whole[2], parts[2], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-7)

    def test_a_loss_of_nothing_is_refused(self) -> None:
        with pytest.raises(RecipeError, match="one of cross_entropy, focal, dice and lovasz should be above 0"):
            tiny_recipe("loss.cross_entropy=0")
