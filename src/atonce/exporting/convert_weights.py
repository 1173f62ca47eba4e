"""Conversion of weights from elsewhere: an FCN checkpoint into a model file, a VGG-16 into a file of trunk and head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from atonce.data.classes_file import read_classes
from atonce.data.formats.voc import LABELS as VOC
from atonce.errors import WeightsError, as_command_line, option
from atonce.labels import LabelSpec
from atonce.model_file import ModelFile
from atonce.progress import ProgressCallback
from atonce.remote import require_local
from atonce.storage import make_folder, open_tensors, refuse_foreign, sha256_of
from atonce.text import count_of
from atonce.untrusted_files import parse_json
from atonce.weights import ImportedWeights, build_network, find_weights, read_weights, trained_at_once, write_trunk
from atonce.weights.layouts.atonce_files import WEIGHTS_KEY
from atonce.weights.layouts.pytorch_fcn import FILE_NAME
from atonce.weights.tensor_files import files_of


@dataclass(frozen=True)
class ConvertedWeights:
    """A file that has been written from weights from elsewhere.

    Attributes:
        path: the file: a model file where the weights are a complete FCN, else a file for `atonce.train(weights=...)`.
        weights: the tensors, the network that they make, and the layout that they came in.
        notes: assumptions that were made; options stand in them as `errors.option` writes them.
    """

    path: Path
    weights: ImportedWeights
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what `atonce weights convert` prints as JSON."""
        return {"path": str(self.path), **self.weights.to_json(), "notes": list(map(as_command_line, self.notes))}


def convert_weights(
    source: str | Path,
    out: str | Path,
    *,
    layout: str | None = None,
    at_once: bool = False,
    classes: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> ConvertedWeights:
    """Write weights from elsewhere as a file of atonce; its metadata says where they come from.

    Args:
        source: a file or folder of one of the layouts of `atonce weights list`, or a name there, downloaded where need
            be.
        out: the .safetensors file to write, whose folder is created.
        layout: one of `atonce.weights.LAYOUTS`; None recognises it.
        at_once: an FCN-8s was trained at once, so that its pools were scaled; by default it counts as staged, unless
            the file itself says how it was trained.
        classes: classes.yaml or .csv with the names of an FCN's classes; without, 21 of them are VOC's.
        progress: called with the bytes downloaded and all bytes.

    Raises:
        DataError: there is another file at `out` than an earlier conversion.
        WeightsError: the source is missing, damaged, of an unknown layout, or atonce's own; `out` has another suffix or
            is the source; `at_once` or `classes` are given for weights that they do not fit.
        DataError: the file of classes cannot be read.
        StorageError: `out` cannot be written.
    """
    out = require_local(out)
    if out.suffix != ".safetensors":
        raise WeightsError(option("out", out), "a name that ends in .safetensors")
    path = find_weights(source, progress)
    if out.exists() and path.exists() and out.samefile(path):
        raise WeightsError(f"{option('out', out)} is the file to convert", "another name")
    refuse_foreign(out, _is_converted)
    imported = read_weights(source, progress, layout)
    notes: tuple[str, ...] = ()
    if imported.layout == "atonce":
        raise WeightsError(f"{path} is a file of atonce already", "weights from elsewhere", "use it as it is")
    if at_once:
        imported = trained_at_once(imported)
    elif imported.scales_known_from == FILE_NAME:
        notes = (f"taken for an FCN-8s trained at once, because of the name {path.name}",)
    elif imported.network and imported.network.stride == 8 and not imported.scales_known_from:
        notes = (f"taken for a staged FCN-8s; add {option('at_once', value=True)} if it was trained at once",)
    origin = {"file": path.name, "sha256": sha256_of(*files_of(path)), "layout": imported.layout}
    make_folder(out.parent)
    if imported.network is None:
        if classes is not None:
            found = f"{option('classes')} with a VGG-16 ({imported.layout})"
            raise WeightsError(found, "an FCN checkpoint", "leave it out")
        write_trunk(imported, out, origin)
    else:
        labels = _labels(len(imported.tensors["score_fc7.bias"]), None if classes is None else Path(classes))
        ModelFile(build_network(imported), labels, training_data={"converted_from": origin}).save(out)
    return ConvertedWeights(out, imported, notes)


def _is_converted(path: Path) -> bool:
    """Tell whether a file was made of weights from elsewhere, which can be done again; a trained model was not."""
    try:
        with open_tensors(path) as file:
            metadata = file.metadata() or {}
    except SafetensorError:
        return False
    try:
        about = parse_json(metadata.get("atonce", "{}"))
    except ValueError:
        return False
    return WEIGHTS_KEY in metadata or (
        isinstance(about, dict) and "converted_from" in (about.get("training_data") or ())
    )


def _labels(count: int, classes: Path | None) -> LabelSpec:
    """Names and colours for the classes of a checkpoint, which holds neither."""
    if classes is not None:
        labels = read_classes(classes).labels
        if labels.num_classes != count:
            raise WeightsError(
                f"{classes} names {count_of(labels.num_classes, 'class', 'classes')}", f"the checkpoint's {count}"
            )
        return labels
    if count == VOC.num_classes:
        return VOC
    try:
        return LabelSpec.from_names([f"class {i}" for i in range(count)])
    except ValueError as error:
        raise WeightsError(str(error)) from None
