"""python -m benchmarks.gpu.pack: put what a bare CUDA machine lacks into one folder, runs/gpu-pack, which git ignores.

Wheels for its Python, CamVid with JPEG pictures and the convolutions of VGG-16; the sources travel with the checkout.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from atonce.errors import UserError
from atonce.storage import make_folder
from benchmarks.gpu import packed_weights

WHEELS = (
    "kornia", "kornia-rs", "pydantic", "pydantic-core", "annotated-types", "typing-inspection", "rich",
    "markdown-it-py", "mdurl", "typing-extensions", "psutil", "pytest", "pluggy", "iniconfig",
)  # fmt: skip
"""What the machine lacks for atonce (torch, accelerate, safetensors, matplotlib, typer, pyyaml, pillow are there), for
its tests and for the benchmarks. pydantic needs a newer typing-extensions than torch does."""

_PLATFORMS = ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64", "any")
_QUALITY = 92


def main(words: Sequence[str] | None = None) -> None:
    """Fill the folder and say what is in it. Exit code 2: the user's mistake, or more than fits."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu.pack", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="CamVid: train, trainannot, val, valannot")
    parser.add_argument("--weights", type=Path, required=True, help="convolutions of VGG-16, as torchvision has them")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-pack"), help="the folder, which is emptied first")
    parser.add_argument("--python", default="3.12", help="that of the machine (default 3.12)")
    parser.add_argument("--most-mib", type=float, default=60.0, help="what may travel (default 60)")
    parser.add_argument("--pictures", type=int, help="of each split; all by default")
    parser.add_argument("--no-wheels", action="store_true", help="for a trial on a machine that lacks nothing")
    asked = parser.parse_args(words)
    try:
        pack(asked)
    except UserError as error:
        sys.stderr.write(f"pack: {error}\n")
        sys.exit(2)


def pack(asked: argparse.Namespace) -> None:
    """Fill the folder. Raises UserError: something is missing, or it is more than may travel."""
    out: Path = asked.out
    if out.exists() and not (out / "PACK").is_file() and any(out.iterdir()):
        raise UserError(f"{out} holds something else", "an empty folder, or an earlier pack")
    shutil.rmtree(out, ignore_errors=True)
    make_folder(out)
    (out / "PACK").write_text("made by python -m benchmarks.gpu.pack\n", encoding="utf-8")
    write_pictures(asked.data, out / "camvid", asked.pictures)
    write_weights(asked.weights, out / "vgg16.zip")
    if not asked.no_wheels:
        download_wheels(out / "wheels", asked.python)
    total = 0.0
    for part in sorted(out.iterdir()):
        size = sum(path.stat().st_size for path in ([part] if part.is_file() else part.rglob("*")) if path.is_file())
        total += size / 2**20
        print(f"{size / 2**20:6.2f} MiB  {part.name}")
    print(f"{total:6.2f} MiB  {out}")
    if total > asked.most_mib:
        raise UserError(f"{out} has {total:.1f} MiB", f"at most {asked.most_mib:g}", "fewer --pictures")


def write_pictures(data: Path, out: Path, most: int | None) -> None:
    """Copy CamVid: pictures as JPEG, masks as they are in as few bytes as PNG can be had in."""
    for split in ("train", "val", "test"):
        pictures = sorted((data / split).glob("*.png"))[:most]
        if not pictures and split != "test":
            raise UserError(f"{data} holds no {split}/*.png", "CamVid: train, trainannot, val, valannot")
        for source in pictures:
            picture = make_folder(out / split) / f"{source.stem}.jpg"
            with Image.open(source) as opened:
                opened.convert("RGB").save(picture, "JPEG", quality=_QUALITY, optimize=True, progressive=True)
            with Image.open(data / f"{split}annot" / source.name) as mask:
                Image.fromarray(np.asarray(mask)).save(make_folder(out / f"{split}annot") / source.name, optimize=True)


def write_weights(source: Path, out: Path) -> None:
    """Pack the convolutions that a checkpoint of torchvision's VGG-16 begins with."""
    tensors = torch.load(source, map_location="cpu", weights_only=True)
    kept = {name: tensor.numpy() for name, tensor in tensors.items() if name.startswith("features.")}
    if len(kept) != 26:
        raise UserError(f"{source} holds {len(kept)} tensors called features.*", "the 26 of VGG-16's convolutions")
    packed_weights.write(out, kept)


def download_wheels(out: Path, python: str) -> None:
    """Fetch wheels for another Python on Linux with x86-64, in the versions of constraints.txt, by pip."""
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    words += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python, "--dest", str(out)]
    abi = "cp" + python.replace(".", "")
    for one in (abi, "abi3", "none"):
        words += ["--abi", one]
    for one in _PLATFORMS:
        words += ["--platform", one]
    done = subprocess.run([*words, "-c", "constraints.txt", *WHEELS], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"pip download failed: {done.stderr.strip().splitlines()[-1]}", "the package index")


if __name__ == "__main__":
    main()
