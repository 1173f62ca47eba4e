"""The device, the processes (data parallel: DDP) and the precision (mixed precision: AMP) of a training.

accelerate holds all three: it wraps the network in DistributedDataParallel and runs the forward pass in autocast.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list

from atonce.adaptive_threads import AdaptiveThreads, compute_threads
from atonce.devices import default_device, describe_device, has_bf16, has_float64, usable_device
from atonce.errors import RecipeError, UserError, option
from atonce.recipes import Recipe
from atonce.text import count_of
from atonce.threads import fixed_threads, physical_cores, spins_while_waiting

_TORCH_DEVICE = "ACCELERATE_TORCH_DEVICE"


def accelerator_for(recipe: Recipe, device: str | None = None) -> Accelerator:
    """Set up the device and the processes of a run.

    Args:
        device: "cpu", "cuda", "cuda:1"; None takes `atonce.devices.default_device`. Of several processes (torchrun,
            accelerate launch) each takes the GPU of its number.

    Raises:
        RecipeError: a precision that is not to be had here.
        UserError: no such device, or one GPU for several processes.
    """
    chosen = _device_of_this_process(device)
    precision = recipe.train.precision
    mixed = {"fp32": "no", "auto": "bf16" if has_bf16(chosen) else "no"}.get(precision, precision)
    if mixed == "fp16" and chosen.type != "cuda":
        raise RecipeError("train.precision = fp16 without a GPU", "fp32, bf16 or auto", "fp16 needs CUDA")
    _forget_run_before(chosen, mixed)
    with _named_for_accelerate(chosen if device is not None and _processes() == 1 else None):
        # Told so, accelerate joins the processes of torchrun on CPUs; not told, each would train a network of its own.
        return Accelerator(cpu=chosen.type == "cpu", mixed_precision=mixed)


def _device_of_this_process(device: str | None) -> torch.device:
    if device is None:
        asked_for_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on")
        return torch.device("cpu") if asked_for_cpu else default_device()
    processes = _processes()
    if processes > 1 and ":" in device:
        kind = device.partition(":")[0]
        raise UserError(
            f"{option('device', device)} for {processes} processes",
            f"{option('device', kind)}, of which each process takes the one of its number",
            "CUDA_VISIBLE_DEVICES says which GPUs there are to take",
        )
    chosen = usable_device(device)
    if not has_float64(chosen):
        raise UserError(f"{option('device', device)} in training", "a device with float64", "take a GPU or the CPU")
    return chosen


def _processes() -> int:
    """Return the number of processes that torchrun or accelerate has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _forget_run_before(device: torch.device, mixed_precision: str) -> None:
    """Reset accelerate where another run of this process (an ablation, a notebook) had another device or precision,
    which would stay for good."""
    if not AcceleratorState._shared_state:
        return
    state = AcceleratorState()
    other_device = _processes() == 1 and str(state.device) != str(device)
    if other_device or state.mixed_precision != mixed_precision:
        AcceleratorState._reset_state(reset_partial_state=other_device)


@contextmanager
def _named_for_accelerate(device: torch.device | None) -> Iterator[None]:
    """Name a device for accelerate, which has no parameter for one; None leaves the choice to it."""
    if device is None or device.type == "cpu":
        yield
        return
    before = os.environ.get(_TORCH_DEVICE)
    os.environ[_TORCH_DEVICE] = str(device)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_TORCH_DEVICE]
        else:
            os.environ[_TORCH_DEVICE] = before


def describe_hardware(accelerator: Accelerator) -> str:
    """Say in one line what a run computes on: "on cpu (2 threads), fp32"."""
    processes = f"{accelerator.num_processes} processes, each " if accelerator.num_processes > 1 else ""
    precision = {"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision)
    return f"{processes}on {describe_device(accelerator.device)}, {precision}"


def threads_of_run(accelerator: Accelerator, recorded: int | None, note: Callable[[str], None]) -> AdaptiveThreads:
    """Choose how many threads each process of a run computes with: of one that is resumed as many as it began with,
    since with another number sums differ in their last bits; unless the user has set a number, or there are fewer.

    Args:
        recorded: threads of all processes of a run that is resumed; None where it begins, or does not say.
        note: called with one line on what a user should know.
    """
    most, on_cpu, processes = compute_threads(), accelerator.device.type == "cpu", accelerator.num_processes
    before = recorded // processes if recorded and on_cpu else most
    if before != most:
        another = f"{option('threads')} sets another number"
        if fixed_threads() is None and 0 < before <= physical_cores() // processes:
            note(f"{count_of(before, 'thread')}, as the run began with, so that sums are the same; {another}")
            most = before
        else:
            note(f"the run began with {count_of(before, 'thread')}; with {most} sums differ in their last bits")
    if on_cpu and most > 1 and spins_while_waiting():
        note(
            "torch was imported before atonce: its threads hold their cores while they wait for each other, which "
            "costs beside other programs; import atonce first"
        )

    def tell_first(count: int, others: float) -> None:
        threads.on_change = None
        note(
            f"other programs use {others:.1f} cores: from here on {count} of {count_of(most, 'thread')} compute, as "
            f"many as are fastest; sums then differ in their last bits, {option('threads', most)} keeps the number"
        )

    # Several processes wait for each other in each step: its time says nothing of the threads of one.
    alone = on_cpu and processes == 1
    threads = AdaptiveThreads(most=most, fixed=None if alone else True, on_change=tell_first)
    if threads.count < most:
        note(f"{threads.count} of {count_of(most, 'thread')} compute at first, as many as were fastest a moment ago")
    return threads


def threads_to_record(accelerator: Accelerator, threads: AdaptiveThreads, recorded: int | None) -> int | None:
    """Return the threads of all processes that the state of a run is to name for the sessions after this one.

    On a GPU they are of no account: what the run had on a CPU stays, so that it has as many there once more.
    """
    return threads.most * accelerator.num_processes if accelerator.device.type == "cpu" else recorded


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
