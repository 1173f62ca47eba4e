"""The state of a run, to go on exactly where it was: one safetensors file, replaced atomically, no pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from torch import Tensor

from atonce.errors import TrainingError, option
from atonce.model.fcn import FCN
from atonce.recipes import FCNConfig, Recipe
from atonce.recipes.schema import MASK_LOSSES, OptimConfig
from atonce.safetensors_writer import save_tensors
from atonce.storage import open_tensors
from atonce.text import listing, words_of
from atonce.training.losses import Losses
from atonce.training.optimizers import MovingAverage, grouped_names

Moments = dict[str, dict[str, Tensor]]
"""The memory of an optimiser: name of a parameter -> name of a moment -> its value."""


@dataclass
class StepsSinceLog:
    """The content of `RunProgress.steps_since_log`, see `StepLog.to_json`."""

    losses: list[dict[str, float | None]]
    confusion: list[list[int]]
    lr: float
    seconds: float
    waited: float
    run_seconds: float


@dataclass
class RunProgress:
    """The point that a run has come to.

    Attributes:
        model: the network's config, calibrated scales included.
        step: updates made.
        seconds: time spent training, over all sessions of the run.
        best_mean_iou: of the stage's validations so far; -1 before the first.
        best_step: the step of that validation.
        validations: rows of metrics.csv.
        stage: index of the stage that the run is in.
        stage_began: updates that had been made when it began.
        threads: with which all processes together compute on the CPU, where no other program is busy; None of a run
            that has been on GPUs only.
        teacher: sha256 of the model file that it learns from, beside the masks.
        steps_since_log: what `StepLog` has measured since the last line of log.jsonl.
        sessions: the calls that the run is made of, the first one first; see `atonce.provenance.Session`.
        validation_due: whether the run was stopped when it came to a validation, which it goes on with.
        crop: height and width of training crops where no picture is as large as data.crop; empty where one is.
        run: the run that it is of, see `RecordedData.run`; None of a run of before.
    """

    model: dict[str, Any]
    step: int = 0
    seconds: float = 0.0
    best_mean_iou: float = -1.0
    best_step: int = 0
    validations: list[dict[str, Any]] = field(default_factory=list)
    stage: int = 0
    stage_began: int = 0
    threads: int | None = None
    teacher: str | None = None
    steps_since_log: dict[str, Any] = field(default_factory=dict)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    validation_due: bool = False
    crop: list[int] = field(default_factory=list)
    run: str | None = None

    @property
    def logged(self) -> int:
        """The step of the last line of log.jsonl that stays if the run goes on."""
        return self.step - len(self.steps_since_log.get("losses", ()))

    @property
    def validated(self) -> bool:
        """True where the network as it stands has been validated."""
        return self.best_mean_iou >= 0 and self.validations[-1]["step"] == self.step


def terms_of(recipe: Recipe) -> set[str]:
    """Name the terms that a recipe's loss is the sum of: those on the masks that have a factor, and the teacher's."""
    masks = {name for name in MASK_LOSSES if name == "cross_entropy" or getattr(recipe.loss, name)}
    return masks | ({"distillation"} if recipe.distill.teacher is not None else set())


def terms_since_log(progress: RunProgress) -> set[str] | None:
    """Name the terms that the last step since the last line of the log was measured in; None where there is none."""
    steps = progress.steps_since_log.get("losses")
    if not steps:
        return None
    return {name for name in (*MASK_LOSSES, "distillation") if steps[-1].get(name) is not None}


def save_state(
    path: Path, progress: RunProgress, model: FCN, *, optimizer: torch.optim.Optimizer, average: MovingAverage | None
) -> None:
    """Write the state. Dropout, data order and augmentation follow from seed and step: they need no state.

    Raises:
        StorageError: the disk is full or the folder cannot be written; the state before is kept.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    # By name: the order of the groups is another one where the recipe has other learning rates.
    for name, parameter in model.named_parameters():
        values = optimizer.state.get(parameter, {})
        moments = {key: torch.as_tensor(value) for key, value in values.items() if value is not None}
        tensors |= {f"optimizer.{name}.{key}": value for key, value in moments.items()}
    if average:
        tensors |= {f"average.{i}": tensor for i, tensor in enumerate(average.weights)}
    metadata = {
        "progress": json.dumps(asdict(progress)),
        "optimizer": type(optimizer).__name__,
        "averages": str(average.updates if average else 0),
    }
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_tensors(path, plain, metadata)


def read_progress(path: Path) -> RunProgress:
    """Read the point that a saved run has come to. Raises TrainingError: none there, or damaged."""
    return _read(path, with_tensors=False)[0]


def load_state(path: Path, model: FCN, optimizer: torch.optim.Optimizer, average: MovingAverage | None) -> RunProgress:
    """Put a saved state into freshly built parts. Raises TrainingError: none there, damaged, or of another run."""
    progress, metadata, tensors = _read(path, with_tensors=True)
    config = FCNConfig.model_validate(progress.model)
    try:
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        _require_same(metadata, tensors, optimizer, average)
        _restore_moments(_moments_by_name(tensors, model), model, optimizer)
        if average:
            for position, weight in enumerate(average.weights):
                weight.copy_(tensors[f"average.{position}"])
    except (RuntimeError, LookupError, ValueError) as error:
        raise TrainingError(
            f"{path} does not fit this recipe: {words_of(error)}", "the recipe the run began with"
        ) from None
    model.set_scales(config)
    if average:
        average.updates = int(metadata["averages"])
    return progress


def _read(path: Path, *, with_tensors: bool) -> tuple[RunProgress, dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise TrainingError(
            f"{path} does not exist", "the state of a run to resume", f"start it without {option('resume', value=True)}"
        )
    try:
        with open_tensors(path) as file:
            metadata = file.metadata() or {}
            found: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys() if with_tensors}  # noqa: SIM118
        progress = _parse_progress(metadata["progress"])
        int(metadata.get("averages", 0))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError):
        raise TrainingError(f"{path} is damaged or not a training state", "the state of a run") from None
    return progress, metadata, found


def _parse_progress(text: str) -> RunProgress:
    """Read a `RunProgress` from JSON. Raises TypeError or ValueError: another type, or a number that cannot be."""
    progress = RunProgress(**json.loads(text))
    TypeAdapter(RunProgress).validate_json(text, strict=True)
    FCNConfig.model_validate(progress.model)
    counts = (
        progress.step,
        progress.best_step,
        progress.stage,
        progress.stage_began,
        progress.seconds,
        progress.threads or 0,
    )
    if progress.crop and (len(progress.crop) != 2 or min(progress.crop) < 1):
        raise ValueError("a crop of no size")
    rows = [row.get("step") for row in progress.validations]
    if min(counts) < 0 or not math.isfinite(progress.seconds) or not math.isfinite(progress.best_mean_iou):
        raise ValueError("a negative or infinite number")
    if log := progress.steps_since_log:
        losses = TypeAdapter(StepsSinceLog).validate_json(json.dumps(log), strict=True).losses
        known = {field.name for field in fields(Losses)}
        # States of before lack the losses that came later; what is missing has no value.
        required = {field.name for field in fields(Losses) if field.default is MISSING}
        if not all(required <= each.keys() <= known for each in losses):
            raise ValueError("losses of another kind")
    if not all(type(step) is int and 0 <= step <= progress.step for step in rows):
        raise ValueError("a validation without its step")
    if progress.best_mean_iou >= 0 and not rows:
        raise ValueError("a best validation, and no validation")
    return progress


def _require_same(
    metadata: dict[str, str],
    tensors: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
) -> None:
    """Raise ValueError where the state is of another optimiser, or without an average."""
    name = type(optimizer).__name__
    if metadata.get("optimizer", name) != name:
        raise ValueError(f"it was saved by {metadata['optimizer']}, not {name} (optim.name)")
    if average and "average.0" not in tensors:
        raise ValueError("it holds no averaged weights (optim.ema_decay)")


def _moments_by_name(tensors: Mapping[str, Tensor], model: FCN) -> Moments:
    """Collect what the optimiser remembers of each trainable parameter; empty where it has made no step.

    Raises:
        ValueError: it is of other parameters, or of parameters of other shapes.
    """
    found: Moments = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            name, _, moment = key.removeprefix("optimizer.").rpartition(".")
            found.setdefault(name, {})[moment] = tensor
    trained = {name: parameter.shape for name, parameter in model.named_parameters() if parameter.requires_grad}
    if found and len(found) != len(trained):
        raise ValueError(f"{len(found)} weights were trained, not {len(trained)} (model.freeze_trunk)")
    if found and all(name.isdecimal() for name in found):
        found = _named_moments([found[number] for number in sorted(found, key=int)], model)
    if unknown := sorted(found.keys() - trained.keys()):
        raise ValueError(f"its optimiser trained {listing(unknown, 3)}, unknown here")
    if misfits := _misfits(found, trained):
        raise ValueError(f"its optimiser's moments are of another shape than {listing(misfits, 3)}")
    return found


def _named_moments(numbered: Sequence[dict[str, Tensor]], model: FCN) -> Moments:
    """Give the moments of states of before, which are in the order of the groups, the names of their parameters.

    Blocks of the trunk may have had groups of their own. Which it was the shapes tell: a group has its kernels first.
    """
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    orders = [grouped_names(model, OptimConfig(trunk_lr_decay=decay)) for decay in (1.0, 0.5)]
    named = [dict(zip(order, numbered, strict=True)) for order in orders]
    return next((moments for moments in named if not _misfits(moments, shapes)), named[0])


def _misfits(moments: Moments, shapes: Mapping[str, torch.Size]) -> list[str]:
    """List the parameters whose moments have another shape; a count of steps is a number."""
    return [
        name
        for name, slots in moments.items()
        if any(moment.ndim and moment.shape != shapes[name] for moment in slots.values())
    ]


def _restore_moments(moments: Moments, model: FCN, optimizer: torch.optim.Optimizer) -> None:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    ordered = [p for group in optimizer.param_groups for p in group["params"]]
    slots = {
        index: {key: _laid_out(moment, parameter) for key, moment in moments[names[id(parameter)]].items()}
        for index, parameter in enumerate(ordered if moments else ())
    }
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


def _laid_out(moment: Tensor, parameter: Tensor) -> Tensor:
    """Copy a moment: what safetensors reads keeps its file open, and a replaced file on the disk.

    Fused optimisers walk memory: moments must lie in it as their weights do (channels-last).
    """
    if moment.ndim == 0:
        return moment.clone()
    return torch.empty_like(parameter, requires_grad=False).copy_(moment)
