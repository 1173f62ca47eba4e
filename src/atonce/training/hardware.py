"""The device, the processes and the precision that a recipe gets on this machine."""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list

from atonce.errors import RecipeError, UserError
from atonce.recipes import Recipe


def accelerator_for(recipe: Recipe) -> Accelerator:
    """Set up the device and the processes of a run. Raises RecipeError: a precision that is not to be had here."""
    precision = recipe.train.precision
    mixed = {"fp32": "no", "auto": "bf16" if has_bf16() else "no"}.get(precision, precision)
    if mixed == "fp16" and not torch.cuda.is_available():
        raise RecipeError("train.precision = fp16 without a GPU", "fp32, bf16 or auto", "fp16 needs CUDA")
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != mixed:
        # Another run of this process (an ablation, a notebook) had another precision, which would stay for good.
        AcceleratorState._reset_state()
    # Told so, accelerate joins the processes of torchrun on CPUs; not told, each would train a network of its own.
    return Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision=mixed)


def has_bf16() -> bool:
    """Tell whether the hardware multiplies bf16 faster than fp32: recent GPUs, CPUs with AVX512-BF16 or AMX."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(probe()) for name in probes if (probe := getattr(torch.cpu, name, None)) is not None)


def require_divisible(recipe: Recipe, processes: int) -> None:
    """Raise RecipeError where the batch cannot be shared out."""
    parts = processes * recipe.train.accumulate
    if recipe.train.batch_size % parts:
        raise RecipeError(
            f"train.batch_size = {recipe.train.batch_size} for {processes} processes x {recipe.train.accumulate} parts",
            f"a multiple of {parts}",
        )


def in_main_process(accelerator: Accelerator, act: Callable[[], None]) -> None:
    """Do something in the first process alone; the others wait for it, and every one raises what it has raised.

    Raises:
        UserError: of the kind that `act` raises.
    """
    failed: UserError | None = None
    if accelerator.is_main_process:
        try:
            act()
        except UserError as error:
            failed = error
    if accelerator.num_processes > 1:
        told = broadcast_object_list([(type(failed), failed.parts) if failed else None], from_process=0)
        if told[0] and failed is None:
            kind, parts = told[0]
            failed = kind(*parts)
    if failed:
        raise failed
