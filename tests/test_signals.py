"""Signals that end a program, whatever it is at when they come."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import PATIENCE
from tests.systems import needs_signals

SCRIPT = """
import gc, signal, sys, time, weakref
from atonce.signals import Terminated, exit_code_of, raise_at_termination

class Thing:
    pass

def raise_it(_):
    signal.raise_signal(signal.{name})
    sum(range(1000))  # the handler runs here

raise_at_termination()
{more}
thing = Thing()
kept = weakref.ref(thing, raise_it)
try:
    del thing
    for _ in range(200):
        time.sleep(0.05)
except KeyboardInterrupt as error:
    sys.exit(exit_code_of(error))
"""


@needs_signals
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_signal_that_meets_the_garbage_collector_is_not_lost(name: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(name=name, more="")], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (code, "")


@needs_signals
def test_other_errors_there_are_told_as_ever() -> None:
    script = SCRIPT.format(name="SIGTERM", more="raise_it = lambda _: 1 / 0").replace("range(200)", "range(1)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr


FORKING = """
import multiprocessing, signal, sys, time
{before}

context = multiprocessing.get_context("fork")
ready = context.Event()

def child():
    print("ready", flush=True)
    ready.set()
    time.sleep(60)

if __name__ == "__main__":
    {setup}
        process = context.Process(target=child)
        process.start()
        assert ready.wait(60)
        process.terminate()
        process.join(10)
        print(process.exitcode)
        process.kill()
"""

SETUPS = {
    "command": ("from atonce.signals import raise_at_termination", "raise_at_termination()\n    if True:"),
    "training": (
        "from atonce.training.callbacks import Callback\nfrom atonce.training.interrupt import deferred_interrupt",
        "with deferred_interrupt(Callback()):",
    ),
}


@needs_signals
@pytest.mark.parametrize("name", SETUPS)
def test_processes_that_libraries_fork_end_as_those_of_python(name: str) -> None:
    """SIGTERM ends them at once and without a word; those with our handler wrote a traceback, or lived on."""
    before, setup = SETUPS[name]
    script = FORKING.format(before=before, setup=setup)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["ready", "-15"], "")
