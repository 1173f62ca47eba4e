"""Who competes in segmenting: pictures uint8 (N, H, W, 3) RGB in, labels uint8 (N, H, W) out."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atonce.devices import has_bf16
from atonce.exporting.graph_files import Target, write_graph
from atonce.inference import NetworkPredictor
from atonce.inference.engines import open_session
from atonce.labels import LabelSpec
from atonce.model import FCN, initialise
from atonce.model_file import ModelFile
from atonce.recipes import FCNConfig
from atonce.streets import render_scene
from benchmarks.operations import Cell
from benchmarks.peers import MEAN_BGR, randomise, torchfcn_network
from benchmarks.workers import Job, in_process

CALIBRATION_PICTURES = 8
"""For INT8: the ranges that they give decide the labels, not the time."""


@dataclass(frozen=True)
class Setting:
    """What all contestants have in common."""

    head_width: int = 4096
    classes: int = 2
    seed: int = 0
    device: str = "cpu"

    @property
    def has_bf16(self) -> bool:
        """Whether the device is made for it."""
        return has_bf16(torch.device(self.device))


def config_of(setting: Setting, alignment: str = "same") -> FCNConfig:
    """FCN-8s as the defaults have it, with the authors' scales, which suit random weights as well as any."""
    return FCNConfig.model_validate({"head_width": setting.head_width, "alignment": alignment})


def network(setting: Setting, alignment: str = "same") -> FCN:
    """Ours, with the weights that it starts a training with."""
    torch.manual_seed(setting.seed)
    return initialise(FCN(config_of(setting, alignment), setting.classes))


def bundle(setting: Setting) -> ModelFile:
    return ModelFile(network(setting).eval(), LabelSpec.from_names([f"class {i}" for i in range(setting.classes)]))


def unfilled(setting: Setting, alignment: str = "same") -> nn.Module:
    """The same layers for counting; under torch.device("meta") without memory."""
    return FCN(config_of(setting, alignment), setting.classes)


def unfilled_torchfcn(setting: Setting) -> nn.Module:
    return torchfcn_network(setting.classes, setting.head_width)


def pictures(cell: Cell, seed: int) -> NDArray[np.uint8]:
    """uint8 (N, H, W, 3)"""
    return np.random.default_rng(seed).integers(0, 256, (cell.batch, *cell.size, 3), np.uint8)


def predict_labels(logits: Tensor) -> NDArray[np.uint8]:
    """(N, C, H, W) -> uint8 (N, H, W), on the CPU: whoever has a result has waited for it."""
    found: NDArray[np.uint8] = logits.argmax(1).to(torch.uint8).cpu().numpy()
    return found


class Torchfcn:
    """FCN8sAtOnce, eager, float32; the picture is prepared as its data loaders do it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        filled = randomise(torchfcn_network(setting.classes, setting.head_width), setting.seed)
        self.network = filled.to(setting.device).eval()

    def prepare(self, case: Cell) -> Job:
        return partial(self._segment, pictures(case, self.setting.seed))

    @torch.inference_mode()
    def _segment(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        values = images[..., ::-1].astype(np.float32) - np.array(MEAN_BGR, np.float32)
        values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        return predict_labels(self.network(torch.from_numpy(values).to(self.setting.device)))


class Eager:
    """Our network called as any other module, float32.

    Args:
        channels_last: the layout of weights and pictures.
    """

    def __init__(self, setting: Setting, channels_last: bool) -> None:
        self.setting = setting
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network(setting).to(setting.device, memory_format=self.layout).eval()  # type: ignore[call-overload]

    def prepare(self, case: Cell) -> Job:
        return partial(self._segment, pictures(case, self.setting.seed))

    @torch.inference_mode()
    def _segment(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        batch = torch.from_numpy(images).to(self.setting.device).permute(0, 3, 1, 2)
        return predict_labels(self.network(batch.contiguous(memory_format=self.layout)))


class Ours:
    """`atonce.load(...)(picture).labels`, the whole way that a user's picture takes; one picture after the other.

    Args:
        engine: "torch" or "torch-bf16".
    """

    def __init__(self, setting: Setting, engine: str = "torch") -> None:
        self.setting = setting
        self.predictor = NetworkPredictor(bundle(setting), device=setting.device, engine=engine)

    def prepare(self, case: Cell) -> Job:
        return partial(self._segment, pictures(case, self.setting.seed))

    def _segment(self, images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        return [self.predictor(image).labels for image in images]


class Exported:
    """A file of `atonce export`, run by its engine; pictures of a batch together."""

    def __init__(self, setting: Setting, target: Target, path: Path) -> None:
        self.setting = setting
        self.session = open_session(target.engine, path)

    def prepare(self, case: Cell) -> Job:
        return partial(self._segment, pictures(case, self.setting.seed))

    def _segment(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        return self.session.run(images)["labels"]


def export(setting: Setting, target: Target, path: Path, int8: bool) -> None:
    """Write a file for `Exported`, in a process of its own, whose memory is then free. Raises Failed."""
    in_process(partial(_export, setting, target, path, int8))


def _export(setting: Setting, target: Target, path: Path, int8: bool) -> None:
    count = CALIBRATION_PICTURES if int8 else 0
    images = [partial(_scene, setting.seed + i) for i in range(count)]
    write_graph(bundle(setting), target, path, calibration_images=images)
    gc.collect()


def _scene(seed: int) -> NDArray[np.uint8]:
    return render_scene(seed, (128, 160)).image
