"""Processes that torchrun or accelerate has started, on one machine or many: they share the work of one call.

Each takes every n-th part of the work. What they exchange are small objects, by Gloo, whatever they compute on.
"""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

from atonce.errors import UserError
from atonce.launcher import end_with_launcher

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE = timedelta(days=2)
"""The time for the slowest process to end its share. Of one that has died the others hear at once."""


def is_first_process() -> bool:
    """Tell whether this process talks for all of them; true where there is but one."""
    return os.environ.get("RANK", "0") == "0" or not is_launched()


def leave_group_at_exit() -> None:
    """Let the threads of torch.distributed end before Python does; to be called before the processes are joined.

    Gloo's thread lets go of the tensors of an exchange after everybody has been told that it is done. Where the
    interpreter is ending by then, Python unwinds that thread by force, and C++ answers by aborting the process
    ("terminate called without an active exception"): the launcher then takes the whole work for failed.
    """
    if not is_launched():
        return
    # Its functions have the group of the time of their import as a default: one that has been joined would never end.
    import torch.distributed.nn  # noqa: F401

    atexit.unregister(_leave_group)  # once is enough
    atexit.register(_leave_group)


def _leave_group() -> None:
    from torch import distributed

    if distributed.is_initialized():
        _gloo.cache_clear()  # the threads are joined when nobody refers to the group any more
        gc.collect()
        distributed.destroy_process_group()


def is_launched() -> bool:
    """Tell whether torchrun or accelerate has started this process with others."""
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return all(name in os.environ for name in names) and int(os.environ["WORLD_SIZE"]) > 1


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a call; one alone where nobody has launched several.

    Attributes:
        rank: the number of this process, 0 to world - 1.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def of_launcher(cls) -> ProcessGroup:
        """Join the processes that torchrun or accelerate has started; all of them have to."""
        if not is_launched():
            return cls()
        from torch import distributed

        end_with_launcher()
        leave_group_at_exit()
        _gloo()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def is_first(self) -> bool:
        """True for the process that writes what is written once."""
        return self.rank == 0

    def share(self, things: Sequence[T]) -> list[T]:
        """Return this process's part of some work: every n-th thing."""
        return list(things[self.rank :: self.world])

    def map(self, work: Callable[[T], R], things: Sequence[T]) -> list[R]:
        """Do something with each of some things, shared out among the processes; all get the results of all, in order.

        Raises:
            UserError: as `gather`.
        """
        results: list[Any] = [None] * len(things)
        for rank, part in enumerate(self.gather(lambda: [work(thing) for thing in self.share(things)])):
            results[rank :: self.world] = part
        return results

    def gather(self, work: Callable[[], T]) -> list[T]:
        """Do something in every process, and return what all of them have come to, in the order of their ranks.

        Every process waits for the others; where it is a user's mistake in one of them, all of them raise it.

        Raises:
            UserError: of the kind that `work` raises; `is_told` where another process says it.
        """
        if self.world == 1:
            return [work()]
        from torch import distributed

        value: T | None = None
        failed: UserError | None = None
        try:
            value = work()
        except UserError as error:
            failed = error
        told: list[Any] = [None] * self.world
        distributed.all_gather_object(told, (value, failed and (type(failed), failed.parts)), group=_gloo())
        mistakes = [mistake for _, mistake in told if mistake]
        if mistakes:
            first = failed if failed and (type(failed), failed.parts) == mistakes[0] else _error_of(*mistakes[0])
            first.is_told = not self.is_first
            raise first
        return [one for one, _ in told]


def _error_of(kind: type[UserError], parts: tuple[str, str, str]) -> UserError:
    try:
        return kind(*parts)
    except (TypeError, AttributeError):
        return UserError(*parts)  # it is made of something else than its three parts


@lru_cache(maxsize=1)
def _gloo() -> Any:
    """Return the group for small objects; a training of this process may have one of its own, for its GPUs."""
    from torch import distributed

    if not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=_PATIENCE)
        return distributed.group.WORLD
    return distributed.new_group(backend="gloo", timeout=_PATIENCE)
