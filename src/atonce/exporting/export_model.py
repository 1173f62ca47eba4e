"""The export of a model: written, checked, and only then put in place."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from atonce.devices import has_bf16
from atonce.errors import StorageError, UserError, option
from atonce.exporting.check_images import CheckImages, find_check_images
from atonce.exporting.graph_files import ImageLoader, Target, is_graph, write_graph
from atonce.exporting.parity import Parity, compare, require_parity
from atonce.inference import NetworkPredictor, Predictor
from atonce.inference.engines import EngineName, is_cpu
from atonce.inference.exported_predictor import ExportedPredictor
from atonce.model_file import ModelFile, load_model_file
from atonce.model_location import find_model_file, is_named_model
from atonce.progress import ProgressCallback
from atonce.remote import address_of, local_copy, require_local
from atonce.storage import make_folder, refuse_existing, refuse_foreign, temporary_folder
from atonce.text import count_of


@dataclass(frozen=True)
class Export:
    """A file that has passed its check.

    Attributes:
        path: the file; OpenVINO's weights lie beside it, as .bin.
        megabytes: its size, that of the .bin included.
        parity: how far it differs from torch.
        parity_bf16: how far it does with the engine openvino-bf16; None where that cannot run it: files of ONNX, INT8,
            processors without bf16 products.
    """

    path: Path
    megabytes: float
    parity: Parity
    parity_bf16: Parity | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what `atonce export` prints as JSON; the page "The command line" explains the keys, and they stay."""
        rounded = None if self.parity_bf16 is None else asdict(self.parity_bf16)
        return {
            "path": str(self.path),
            "megabytes": self.megabytes,
            "parity": asdict(self.parity),
            "parity_bf16": rounded,
        }

    def summary(self) -> list[str]:
        """Say in a line for each engine how far it differs from torch."""
        if self.parity_bf16 is None:
            return [self.parity.summary()]
        return [self.parity.summary(), f"with the engine openvino-bf16: {self.parity_bf16.summary()}"]


def export(
    model: str | PathLike[str] | ModelFile | Predictor,
    *,
    to: str,
    out: str | PathLike[str] | None = None,
    probabilities: bool = False,
    int8: bool = False,
    calibration: str | PathLike[str] | None = None,
    format: str | None = None,
    device: str | None = None,
    progress: ProgressCallback | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Export:
    """Export a model as one graph from picture to labels, and check that it is the same network.

    >>> export("runs/mine", to="onnx").path  # doctest: +SKIP
    PosixPath('runs/mine/model.onnx')

    Args:
        model: a model file, a run folder (its model.safetensors), or what has been loaded from one.
        to: "onnx", one .onnx file; or "openvino", an .xml file and a .bin beside it.
        out: the file to write. By default it lies beside the model file and is called as that is, with -int8 where the
            export is; of a packaged model, of one of a hub or one at an address it lies in the working folder. A loaded
            model needs it.
        probabilities: give float32 probabilities (N, C, H, W) as well as labels.
        int8: quantize to eight bits; needs `calibration`.
        calibration: a data set, a folder of pictures or a picture: INT8 calibration takes the ranges of the activations
            from them, and the file is checked with them. Without, it is checked with generated streets.
        format: the format of that data set; None recognises it.
        device: "cpu" or None, which is the same here: the engines of exported files, and with them the check, run on
            the CPU.
        progress: called with the pictures that INT8 was calibrated on or the file was checked with, and all of them.
        on_note: called with lines that a user should know: that INT8 is being calibrated, and on what.

    Raises:
        WeightsError: the model is no model file.
        StorageError: `out` has another suffix than the format's, or cannot be written.
        DataError: `calibration` holds neither a data set nor pictures.
        UserError: no such format, another device than the CPU, INT8 without data to calibrate on, or a package of the
            extra `export` is missing.
        AccuracyError: the INT8 file differs from torch by more than is allowed; `out` is as it was before.
        ParityError: the float32 file does, by a fault of atonce or of an engine; `out` is as it was before.
    """
    try:
        target = Target(to)
    except ValueError:
        known = ", ".join(target.value for target in Target)
        raise UserError(f"there is no format '{to}' to export to", f"one of {known}") from None
    if device is not None and not is_cpu(device):
        found = f"an export with {option('device', device)}"
        raise UserError(found, option("device", "cpu"), "exported files are made, checked and used on the CPU")
    if int8 and calibration is None:
        raise UserError(
            f"{option('int8', value=True)} without {option('calibration')}",
            "a data set or a folder of typical pictures",
        )
    out = None if out is None else require_local(out)
    if isinstance(model, (ModelFile, Predictor)):
        if out is None:
            raise UserError(f"a model without a file, and no {option('out')}", "the file to write")
        model_file = _loaded(model)
    else:
        path = find_model_file(model)
        model_file = load_model_file(path)
        # What a name or an address stands for lies in a package or a cache: nothing is written there.
        elsewhere = is_named_model(model) or address_of(model) is not None
        beside = Path(Path(model).name.removesuffix(path.suffix)) if elsewhere else path.with_suffix("")
        out = out or beside.with_name(f"{beside.name}{'-int8' if int8 else ''}{target.suffix}")
    images = find_check_images(None if calibration is None else local_copy(calibration), model_file, format=format)
    return export_checked(
        model_file,
        target,
        out,
        images,
        probabilities=probabilities,
        int8=int8,
        progress=progress,
        on_note=on_note,
    )


def export_checked(
    model_file: ModelFile,
    target: Target,
    out: Path,
    images: CheckImages,
    *,
    probabilities: bool = False,
    int8: bool = False,
    progress: ProgressCallback | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Export:
    """Export a network to `out`, checked with the given pictures; OpenVINO's weights go beside it, as .bin.

    Args:
        model_file: its network is brought to the CPU and into evaluation mode.
        images: those for INT8 calibration, and those that the file is checked with.
        progress, on_note: as for `export`.

    Raises:
        StorageError, UserError, AccuracyError, ParityError: as `export`.
    """
    if out.suffix.lower() != target.suffix:
        raise StorageError(
            option("out", out), f"a file name that ends in {target.suffix} for {option('to', target.value)}"
        )
    refuse_foreign(out, is_graph)
    if target is Target.OPENVINO and not out.exists():
        refuse_existing(out.with_suffix(".bin"))
    make_folder(out.parent)
    reference = NetworkPredictor(model_file, device="cpu")
    calibration_images = images.calibration_images if int8 else ()
    watch = _Counter(len(calibration_images) + images.count, progress)
    if int8 and on_note:
        on_note(f"calibrating INT8 on {count_of(len(calibration_images), 'picture')}")
    # Beside the target, so that moving into place is a rename.
    with temporary_folder(out) as folder:
        made = folder / out.name
        write_graph(
            model_file,
            target,
            made,
            probabilities=probabilities,
            calibration_images=[partial(watch.load, load) for load in calibration_images],
        )
        engines: list[EngineName] = [target.engine]
        if target is Target.OPENVINO and not int8 and has_bf16(torch.device("cpu")):
            engines.append("openvino-bf16")
        exported = [ExportedPredictor(made, engine=engine, logits=True) for engine in engines]
        parity, *others = compare(reference, exported, images.checks(), progress=lambda _: watch.count())
        require_parity(parity, int8=int8)
        files = sorted(folder.iterdir(), reverse=True)
        size = sum(file.stat().st_size for file in files)
        # The weights first: where the .xml is, the export is complete.
        for file in sorted(files, key=lambda file: file.name == out.name):
            file.replace(out.parent / file.name)
    return Export(out, size / 1e6, parity, *others)


@dataclass
class _Counter:
    """Tells a callback of each picture that has been used, of all that will be."""

    total: int
    progress: ProgressCallback | None
    done: int = 0

    def count(self) -> None:
        """Count a picture."""
        self.done = min(self.done + 1, self.total)
        if self.progress:
            self.progress(self.done, self.total)

    def load(self, load: ImageLoader) -> NDArray[np.uint8]:
        """Read a picture and count it."""
        image = load()
        self.count()
        return image


def _loaded(model: ModelFile | Predictor) -> ModelFile:
    """The model file of a loaded model; a copy where the export would move its network or change its mode."""
    model_file = model.model_file if isinstance(model, Predictor) else model
    devices = {parameter.device.type for parameter in model_file.model.parameters()}
    if "meta" in devices:
        raise UserError("a model that has been exported already", "a model file (model.safetensors)")
    if devices == {"cpu"} and not model_file.model.training:
        return model_file
    return replace(model_file, model=deepcopy(model_file.model))
