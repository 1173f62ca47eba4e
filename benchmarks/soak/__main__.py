"""python -m benchmarks.soak: everything, for as long as it is given; `make soak` is the same."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from benchmarks.soak.commands import Commands
from benchmarks.soak.full_disk import fill_disks
from benchmarks.soak.fuzz import fuzz
from benchmarks.soak.kills import kill_everything
from benchmarks.soak.readers import READERS, make_workspace
from benchmarks.soak.results import Results, Stopwatch
from benchmarks.soak.serving import load_server

SHARES = {"fuzz": 0.3, "kills": 0.45, "disks": 0.1, "serve": 0.15}
"""Of the time."""

LEAST_INPUTS = 5000
_SHORT_MINUTES = 5.0
"""In less time than this the slow work is left out, and there is no least number of inputs."""


def main() -> int:
    """Run the soak. Returns the exit code: 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0, help="the same inputs and kills; another one, others")
    parser.add_argument("--only", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--readers", nargs="+", choices=[reader.name for reader in READERS], default=[])
    parser.add_argument("--out", type=Path, default=Path("runs/soak"))
    asked = parser.parse_args()
    short = asked.minutes < _SHORT_MINUTES
    shutil.rmtree(asked.out / "findings", ignore_errors=True)
    results = Results(asked.out)
    space = make_workspace((asked.out / "workspace").resolve())
    seconds = {part: 60 * asked.minutes * SHARES[part] / sum(map(SHARES.get, asked.only)) for part in asked.only}  # type: ignore[arg-type]
    for part, budget in seconds.items():
        print(f"{part}: {budget:.0f} s", file=sys.stderr, flush=True)
        clock = Stopwatch(budget)
        if part == "fuzz":
            fuzz(results, space, clock, asked.seed, least=0 if short else LEAST_INPUTS, only=asked.readers)
        elif part == "serve":
            load_server(results, space, clock)
        else:
            work = kill_everything if part == "kills" else fill_disks
            work(results, space, Commands(space.folder / "said"), clock, asked.seed, short=short)
        results.seconds[part] = clock.elapsed
    print(f"python -m benchmarks.soak --minutes {asked.minutes:g} --seed {asked.seed}")
    print(results.table())
    if results.findings:
        print(
            f"{len(results.findings)} kinds of faults; what is needed to see them again is in {asked.out / 'findings'}"
        )
    return 1 if results.findings else 0


if __name__ == "__main__":
    sys.exit(main())
