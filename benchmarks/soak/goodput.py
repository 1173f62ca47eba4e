"""Answers a second of the server: one client that keeps its connection, 18, and 300 of which most ask again at once.

    python -m benchmarks.soak.goodput MODEL [--against SRC]

SRC is the folder src/ of another version (`git worktree add ../before COMMIT`); both are measured in turn, in one run,
since the machine is not the same from one run to the next.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from benchmarks.soak.clients import Client, Told
from benchmarks.soak.serving import pictures, serving

CLIENTS = (1, 18, 300)


async def _answers(port: int, files: Sequence[tuple[bytes, bytes]], clients: int, seconds: float) -> Told:
    told = Told()
    until = asyncio.get_running_loop().time() + seconds
    client = Client(port, files, told, patient=False)
    await asyncio.gather(*(client.run(number, until) for number in range(clients)))
    return told


def measure(model: Path, source: Path | None, seconds: float) -> dict[int, Told]:
    """Measure one version, with each number of clients."""
    files = pictures(model)[:1]
    with serving(model, source=source) as server:
        return {clients: asyncio.run(_answers(server.port, files, clients, seconds)) for clients in CLIENTS}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--against", type=Path, help="src/ of another version")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    versions = {"this": None, **({"other": asked.against} if asked.against else {})}
    best: dict[tuple[str, int], Told] = {}
    for _ in range(asked.rounds):
        for name, source in versions.items():
            for clients, told in measure(asked.model, source, asked.seconds).items():
                kept = best.get((name, clients))
                if kept is None or told.counts["200"] > kept.counts["200"]:
                    best[name, clients] = told
    print("| version | clients | answers a second | refusals a second | cut off |\n|---|---:|---:|---:|---:|")
    for (name, clients), told in best.items():
        answers, refusals = (told.counts[status] / asked.seconds for status in ("200", "503"))
        print(f"| {name} | {clients} | {answers:.1f} | {refusals:.0f} | {told.counts['cut off']} |")
    if asked.against:
        for clients in CLIENTS:
            this, other = (best[name, clients].counts["200"] for name in ("this", "other"))
            print(f"{clients} clients: {this / max(1, other):.2f} times as many answers")


if __name__ == "__main__":
    main()
