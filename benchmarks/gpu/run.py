"""python benchmarks/gpu/run.py PACK --out OUT: everything that is to be measured on a bare CUDA machine, in one go.

Begins on nothing but the standard library. Every step is a process with a limit of its own: one that fails or hangs
costs its time, and the others go on. What is left in OUT are four files: report.md, results.json, log.txt, run.zip.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 15 << 20
"""Bytes of a file of the results."""

_KEPT = ("metrics.csv", "log.jsonl", "evaluation.json", "classes.csv", "run.json", "recipe.yaml", "report.html")
"""Of a run folder: all but its weights."""


@dataclass(frozen=True)
class Step:
    """A process with a limit.

    Attributes:
        limit: seconds.
        words: its command, without Python.
    """

    name: str
    limit: float
    words: tuple[str, ...]


def steps(work: Path, *, device: str, minutes: float, tiny: bool) -> list[Step]:
    """List what is done, in the order of what is worth most; the last one takes the time that is left."""
    data, weights = str(work / "camvid"), str(work / "vgg16.safetensors")
    train: tuple[str, ...] = ("-m", "atonce", "train", data, "--device", device)
    small = [word for name in ("model.width=0.125", "model.head_width=16") for word in ("--set", name)]
    short = (*train, "--recipe", "camvid", "--weights", "none" if tiny else weights, "--out", str(work / "short"))
    long = (*train, "--recipe", "camvid", "--weights", "none" if tiny else weights, "--out", str(work / "camvid-run"))
    bench: tuple[str, ...] = ("-m", "benchmarks", "--device", device, "--data", data, "--out", str(work / "bench"))
    share = 60 * minutes
    limits = {"tests": 0.15 * share, "training of 20 steps": 0.15 * share, "bench": 0.3 * share}
    found = [
        Step(
            "versions",
            600 if tiny else 60,
            ("-c", "import torch, atonce, kornia; print(torch.__version__, atonce.__version__)"),
        ),
        Step("tests", limits["tests"], ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_cuda.py")),
    ]
    if tiny:
        crop = ("--set", "data.crop=[64,64]", "--set", "train.batch_size=2", "--set", "data.scale=0.25")
        bench = (*bench, "--quick", "--head-width", "16", "--sections", "inference,training", "--contestants", "ours")
        found += [
            Step("training of 20 steps", 600, (*short, *small, *crop, "--set", "train.steps=2")),
            Step("bench", 900, bench),
            Step("CamVid", 600, (*long, *small, *crop, "--set", "train.steps=3")),
        ]
        return found
    bench = (*bench, "--minutes", f"{0.8 * limits['bench'] / 60:.2f}", "--sections", "inference,training,folders")
    rest = 0.9 * (share - sum(limits.values()) - 60)
    found += [
        Step("training of 20 steps", limits["training of 20 steps"], (*short, "--set", "train.steps=20")),
        Step("bench", limits["bench"], bench),
        Step("CamVid", 1.1 * rest, (*long, "--max-minutes", f"{max(0.5, 0.7 * rest / 60):.2f}")),
    ]
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Do all steps; the exit code is the number of those that failed."""
    parser = argparse.ArgumentParser("python benchmarks/gpu/run.py", description=__doc__)
    parser.add_argument("pack", type=Path, help="the folder that python -m benchmarks.gpu.pack has made")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the four files")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=9.0, help="what all of it may take (default 9)")
    parser.add_argument("--tiny", action="store_true", help="a trial: tiny networks, a few steps, no weights")
    asked = parser.parse_args(words)
    began = time.monotonic()
    asked.out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="atonce-gpu-"))
    results: dict[str, Any] = {"steps": []}
    log = (asked.out / "log.txt").open("w", encoding="utf-8", buffering=1)
    try:
        unpack(asked.pack, work)
        environment = _environment(work)
        for step in steps(work, device=asked.device, minutes=asked.minutes, tiny=asked.tiny):
            left = 60 * asked.minutes - (time.monotonic() - began)
            limit = step.limit if asked.tiny else max(5.0, min(step.limit, left))
            results["steps"].append(_do(step, limit, environment, log))
            # After every step: whoever ends this process has what there is.
            _keep(results, work, asked.out)
    finally:
        log.close()
        shutil.rmtree(work, ignore_errors=True)
    print((asked.out / "report.md").read_text(encoding="utf-8"))
    return sum(step["code"] != 0 for step in results["steps"])


def unpack(pack: Path, work: Path) -> None:
    """Unpack wheels to import from, pictures, and weights as a file that atonce reads."""
    (work / "site").mkdir()
    for wheel in sorted(pack.glob("wheels/*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(work / "site")
    shutil.copytree(pack / "camvid", work / "camvid")
    sys.path.insert(0, str(ROOT))
    import torch
    from safetensors.torch import save_file

    from benchmarks.gpu import packed_weights

    tensors = packed_weights.read(pack / "vgg16.zip")
    save_file({name: torch.from_numpy(values.copy()) for name, values in tensors.items()}, work / "vgg16.safetensors")


def _environment(work: Path) -> dict[str, str]:
    paths = [str(ROOT / "src"), str(ROOT), str(work / "site"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "COLUMNS": "100"}


def _do(step: Step, limit: float, environment: dict[str, str], log: Any) -> dict[str, Any]:
    print(f"{step.name}: at most {limit:.0f} s", flush=True)
    log.write(f"\n===== {step.name}: {' '.join(step.words)}\n")
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *step.words], stdout=log, stderr=log, env=environment, cwd=ROOT, start_new_session=True
    )
    try:
        code: int | str = process.wait(limit)
    except subprocess.TimeoutExpired:
        code = "stopped at its limit"
        # A training saves its state and writes its scores.
        for end in (process.terminate, process.kill):
            end()
            try:
                process.wait(10)
                break
            except subprocess.TimeoutExpired:
                continue
    seconds = round(time.monotonic() - began, 1)
    print(f"  {'done' if code == 0 else code} in {seconds} s", flush=True)
    return {"name": step.name, "seconds": seconds, "limit": round(limit, 1), "code": code}


def _keep(results: dict[str, Any], work: Path, out: Path) -> None:
    """Write the four files anew."""
    bench = _json(work / "bench" / "bench.json")
    if bench is not None:
        results["bench"] = bench
    for name in ("short", "camvid-run"):
        results[name] = _run(work / name)
    (out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    (out / "report.md").write_text(report(results), encoding="utf-8")
    with zipfile.ZipFile(out / "run.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("short", "camvid-run", "bench"):
            for path in sorted((work / name).glob("*")):
                if path.name in (*_KEPT, "bench.md") and path.stat().st_size < LARGEST // 2:
                    archive.write(path, f"{name}/{path.name}")
    log = out / "log.txt"
    if log.stat().st_size > LARGEST:
        text = log.read_bytes()
        log.write_bytes(text[: LARGEST // 2] + b"\n[...]\n" + text[-LARGEST // 4 :])


def _run(folder: Path) -> dict[str, Any]:
    """What a run came to: steps and seconds, pictures a second, scores."""
    rows = [json.loads(line) for line in _text(folder / "log.jsonl").splitlines() if line.strip()]
    scores = _json(folder / "evaluation.json") or {}
    return {
        "log": rows[-3:],
        "scores": {key: scores.get(key) for key in ("mean_iou", "pixel_accuracy")},
        "run": _json(folder / "run.json"),
    }


def report(results: dict[str, Any]) -> str:
    """Write what was done, and what a GPU is asked about: share of the peak, pictures a second, memory."""
    lines = ["# On the GPU", "", "| step | seconds | limit | |", "|---|---:|---:|---|"]
    for step in results["steps"]:
        verdict = "done" if step["code"] == 0 else str(step["code"])
        lines.append(f"| {step['name']} | {step['seconds']} | {step['limit']} | {verdict} |")
    lines += ["", "| section | case | contestant | pictures/s | of peak | memory |", "|---|---|---|---:|---:|---:|"]
    for key, section in results.get("bench", {}).get("sections", {}).items():
        for row in section["rows"]:
            cells: list[str] = [key, row["case"], row["contestant"]]
            cells += [_shown(row["pictures_per_second"], lambda value: f"{value:.3g}")]
            cells += [_shown(row["share_of_peak"], lambda value: f"{value:.0%}")]
            cells += [_shown(row["peak_memory_bytes"], lambda value: f"{value / 2**20:.0f} MiB")]
            lines.append("| " + " | ".join(cells) + " |")
    for name in ("short", "camvid-run"):
        scores = results.get(name, {}).get("scores", {})
        lines += ["", f"{name}: {json.dumps(scores)}, last line of its log: {json.dumps(results[name]['log'][-1:])}"]
    return "\n".join(lines) + "\n"


def _shown(value: Any, how: Callable[[Any], str]) -> str:
    return "" if value is None else how(value)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(main())
