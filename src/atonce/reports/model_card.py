"""`atonce.card`: a model card in Markdown, written from what a model's file knows, and nothing else.

What the file does not say, the card says to be unknown. The block at its top is what model hubs read.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from atonce.inference.load import Model, load
from atonce.inference.predictor import Predictor
from atonce.model_file import ModelFile
from atonce.model_location import FILE_NAME, find_model_file, is_named_model, name_of_model
from atonce.remote import require_local
from atonce.reports.folder_names import shorten_command, without_folders
from atonce.reports.number_format import percent, score
from atonce.storage import refuse_existing, sha256_of, write_text
from atonce.text import count_of, listing, printable
from atonce.untrusted_files import read_json
from atonce.version import __version__

_WEAK = 0.5
"""The IoU below which a class is named as a weakness."""


def card(
    model: Model,
    *,
    out: str | PathLike[str] | None = None,
    name: str | None = None,
    licence: str | None = None,
    notes: Sequence[str] = (),
    pictures: Sequence[tuple[str, str]] = (),
) -> str:
    """Write a model card: what the network is, what it was trained on, its scores and weaknesses, how it is used.

    Every number is the file's own, with its split, step, seed and commit. Of a run folder, `run.json` adds the command
    and the machine. Paths are reduced to their last part: a card is given to others.

    Args:
        model: a run folder, a model file, an exported file, a packaged model, or a `Predictor`.
        out: the file to write; None only returns the text.
        name: the title, and the name in the examples; None for that of the run folder or of the file.
        licence: of the weights, as an identifier of SPDX ("CC-BY-NC-4.0"); None says that it is not stated.
        notes: lines to be added to the weaknesses.
        pictures: (title, path as the card's reader sees it) of pictures to be shown below them.

    Returns:
        The card in Markdown.

    Raises:
        WeightsError: no model, or a damaged one.
        DataError: `out` is there already.
        StorageError: `out` cannot be written.
    """
    if out is not None:
        refuse_existing(require_local(out))
    path = None if isinstance(model, Predictor) else find_model_file(model)
    if name is None and not isinstance(model, Predictor):
        name = name_of_model(model) if is_named_model(model) else None
    # An exported file says as much; its engine is needed to read it.
    model_file = load(model, device="cpu").model_file
    text = render_card(
        model_file,
        name=name or (_name_of(path) if path else "model"),
        licence=licence,
        file=path,
        run=_run_of(path) if path else {},
        notes=notes,
        pictures=pictures,
    )
    if out is not None:
        write_text(Path(out), text)
    return text


def render_card(
    model_file: ModelFile,
    *,
    name: str,
    licence: str | None = None,
    file: Path | None = None,
    run: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    pictures: Sequence[tuple[str, str]] = (),
) -> str:
    """Write the card of a model file, see `card`.

    Args:
        file: the file that its size and sha256 are of; None leaves them out.
        run: what run.json of its training says.
    """
    model_file = without_folders(model_file)
    described = model_file.describe()
    sections = [
        _front_matter(model_file, licence),
        f"# {_text(name)}\n\n{_lead(model_file)}",
        _use(name, described["labels"]["names"]),
        _scores(model_file),
        _weaknesses(model_file, notes, pictures),
        _data(model_file),
        _network(model_file, described),
        _training(model_file, run or {}),
        _licence(licence),
        _file(file),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(model_file: ModelFile, licence: str | None) -> str:
    data: dict[str, Any] = {
        "library_name": "atonce",
        "pipeline_tag": "image-segmentation",
        "tags": ["semantic-segmentation", "fcn", f"fcn-{model_file.model.config.stride}s", "vgg16"],
    }
    if licence:
        # Hubs know licences by identifiers in lower case.
        data["license"] = licence.lower()
    return f"---\n{yaml.safe_dump(data, sort_keys=False)}---"


def _lead(model_file: ModelFile) -> str:
    config, labels = model_file.model.config, model_file.labels
    width = "" if config.width == 1 else f" of {config.width:g} times its width"
    weights = sum(parameter.numel() for parameter in model_file.model.parameters())
    return (
        f"Semantic segmentation: FCN-{config.stride}s on VGG-16{width}, {weights / 1e6:.1f} million weights, "
        f"{count_of(labels.num_classes, 'class', 'classes')}: {listing(map(_text, labels.names), 30)}."
    )


def _use(name: str, classes: Sequence[str]) -> str:
    name = " ".join(printable(name).split())  # a second line could end the block
    word = shlex.quote(name)
    return (
        "## Use\n\n```\n"
        f"atonce predict {word} street.jpg\n"
        "```\n\n```python\nimport atonce\n\n"
        f'result = atonce.load({name!r})("street.jpg")\n'
        f"result.labels                 # uint8 (H, W), ids 0..{len(classes) - 1}, the size of the picture\n"
        'result.overlay().save("seen.png")\n```'
    )


def _scores(model_file: ModelFile) -> str:
    scores = model_file.scores
    if not isinstance(scores.get("mean_iou"), (int, float)):
        return "## Scores\n\nThe file holds none."
    lead = _circumstances(model_file)
    table = ["| mean IoU | pixel accuracy | mean accuracy | frequency-weighted IoU |", "|---:|---:|---:|---:|"]
    means = ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")
    table.append(_row(score(_number(scores.get(key))) for key in means))
    rows = ["| class | IoU | precision | recall | share of the pixels |", "|---|---:|---:|---:|---:|"]
    total = sum(_number(row.get("pixels"), 0) for row in _classes(scores))
    for row in _classes(scores):
        columns = (score(_number(row.get(key))) for key in ("iou", "precision", "accuracy"))
        share = percent(_number(row.get("pixels"), 0) / total) if total else "–"
        rows.append(_row([_text(row.get("name")), *columns, share]))
    return "\n\n".join(["## Scores", lead, "\n".join(table), *(["\n".join(rows)] if len(rows) > 2 else [])])


def _circumstances(model_file: ModelFile) -> str:
    """Say of which pictures the scores are, and what made the network: split, step, seed, commit."""
    scores = model_file.scores
    split = str(scores.get("split", "unknown"))
    pictures = model_file.training_data.get("pictures", {})
    count = pictures.get(split) if isinstance(pictures, Mapping) else None
    of = f", {count_of(count, 'picture')}" if isinstance(count, int) else ""
    seed = scores.get("seed", model_file.recipe.get("train", {}).get("seed"))
    known = {"step": scores.get("step"), "seed": seed, "commit": scores.get("commit")}
    made = ", ".join(f"{key} {_text(value) if value is not None else 'unknown'}" for key, value in known.items())
    chosen = " It chose this network among those of the run, which flatters it a little." if split == "val" else ""
    return (
        f"Measured on the split **{_text(_SPLITS.get(split, split))}** of the data below{of}, at the pictures' own "
        f"size, each picture once ({made}).{chosen} An empty field is a class that is absent there."
    )


_SPLITS = {"val": "validation", "train": "training", "test": "test"}


def _weaknesses(model_file: ModelFile, notes: Sequence[str], pictures: Sequence[tuple[str, str]]) -> str:
    lines = [_text(note) for note in notes]
    known = [(row, _number(row.get("iou"))) for row in _classes(model_file.scores)]
    weak = sorted((iou, str(row.get("name"))) for row, iou in known if iou < _WEAK)
    if weak:
        listed = listing((f"{_text(name)} {iou:.2f}" for iou, name in weak), 30)
        lines.append(f"Classes that it finds badly (IoU below {_WEAK}): {listed}.")
    absent = model_file.scores.get("absent")
    if isinstance(absent, list) and absent:
        lines.append(
            f"Classes that the scores say nothing of, since no picture shows them: {listing(map(_text, absent), 30)}."
        )
    if sizes := _sizes(model_file):
        lines.append(f"It knows things at the size at which it was shown them: {sizes}.")
    lines.append("Of pictures unlike those that it was trained on, nothing is known but what you measure on yours.")
    shown = [f"![{_text(title)}]({path})" for title, path in pictures]
    return "\n\n".join(["## Known weaknesses", "\n".join(f"- {line}" for line in lines), *shown])


def _sizes(model_file: ModelFile) -> str:
    """Tell the sizes of the pictures in training, and at which the network saw them; empty where nobody knows."""
    try:
        sizes = model_file.training_data["picture_sizes"]
        width, height = (int(length) for length in sizes["median"])
        seen = model_file.input_size.apply(height, width)
    except (KeyError, TypeError, ValueError, OverflowError):
        return ""
    return f"pictures of {width}x{height}, which the network sees at {seen[1]}x{seen[0]}"


def _data(model_file: ModelFile) -> str:
    data = model_file.training_data
    if not data:
        return "## Training data\n\nThe file does not say."
    pictures = data.get("pictures")
    rows = [("format", data.get("format")), ("fingerprint", data.get("fingerprint"))]
    if isinstance(pictures, Mapping):
        rows.append(("pictures", ", ".join(f"{_SPLITS.get(split, split)} {n}" for split, n in pictures.items())))
    if "split_seed" in data:
        rows.append(("split", f"made by atonce with seed {data['split_seed']}"))
    rows += [("teacher", f"a model with sha256 {data['teacher']}")] if data.get("teacher") else []
    notes = data.get("notes")
    listed = [f"- {_text(note)}" for note in notes] if isinstance(notes, list) else []
    return "\n\n".join(["## Training data", _table(rows), *(["\n".join(listed)] if listed else [])])


def _network(model_file: ModelFile, described: Mapping[str, Any]) -> str:
    config, expects = model_file.model.config, described["preprocessing"]
    rule = model_file.input_size
    if rule.size is not None:
        size = f"every picture at {rule.size[1]}x{rule.size[0]}"
    else:
        size = f"{rule.scale:g} times the picture's" if rule.scale != 1 else "the picture's own"
        size += f", at most {rule.max_side} pixels on the longer side" if rule.max_side else ""
    scales = ", ".join(f"{pool} x {value:.4g}" for pool, value in described["skip_scales"].items())
    rows = [
        ("variant", f"FCN-{config.stride}s, alignment {config.alignment}, {config.upsampling} upsampling"),
        ("trunk and head", f"width {config.width:g}, {config.head_width} channels in fc6 and fc7"),
        ("skip scales", scales or "none"),
        ("size that it sees", size),
        ("input", "RGB 0..255; any size, the labels have the same"),
        ("preprocessing, inside", f"mean {_list(expects['mean'])}, standard deviation {_list(expects['std'])}"),
    ]
    return f"## The network\n\n{_table(rows)}"


def _training(model_file: ModelFile, run: Mapping[str, Any]) -> str:
    recipe = model_file.recipe
    rows = [(key, run.get(key)) for key in ("commit", "started", "device", "torch") if run.get(key)]
    if isinstance(run.get("minutes"), (int, float)):
        rows.append(("minutes", f"{run['minutes']:g}"))
    parts = ["## Training"]
    if command := run.get("command"):
        parts.append(f"```\n{shorten_command(str(command)).replace('```', '')}\n```")
    parts += [_table(rows)] if rows else []
    if not recipe:
        return "\n\n".join([*parts, "The file holds no recipe: it was not trained by atonce."])
    text = yaml.safe_dump(recipe, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100)
    parts.append(f"<details><summary>the whole recipe</summary>\n\n```yaml\n{text.replace('```', '')}```\n\n</details>")
    return "\n\n".join(parts)


def _licence(licence: str | None) -> str:
    said = _text(licence) if licence else "Not stated. What the training data allow holds for the weights, too."
    return f"## Licence\n\n{said}"


def _file(file: Path | None) -> str:
    if file is None:
        return ""
    rows = [("bytes", file.stat().st_size), ("sha256", sha256_of(file))]
    return f"## File\n\n{_table(rows)}\n\nCard by atonce {__version__}."


def _run_of(path: Path) -> dict[str, Any]:
    """Return what run.json beside a model file says of its training; empty where there is none."""
    try:
        data = read_json(path.parent / "run.json")
    except (OSError, ValueError):
        return {}
    trained = isinstance(data, dict) and "sessions" in data and path.name == FILE_NAME
    return dict(data) if trained else {}


def _name_of(path: Path) -> str:
    return path.resolve().parent.name if path.name == FILE_NAME else path.stem


def _classes(scores: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = scores.get("classes")
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _number(value: object, default: float = math.nan) -> float:
    try:
        return float(value) if isinstance(value, (int, float)) else default
    except OverflowError:  # a whole number of more than 308 digits
        return default


def _text(value: object) -> str:
    """Write what a file says so that it stays a text: one line, no markup."""
    text = " ".join(printable(str(value)).split())
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return text


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(rows: Iterable[tuple[str, object]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(_row([key, _text(value)]) for key, value in rows)])
