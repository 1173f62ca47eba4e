"""atonce info: this machine, and a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from atonce.cli.app import app
from atonce.cli.options import Json, Quiet


@app.command()
def info(
    model: Annotated[
        Path | None, typer.Argument(help="A run folder, a model file or an exported one; without, the machine alone.")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what there is: versions, devices, threads; of a model classes, scores, recipe, preprocessing and size."""
    from atonce.model_location import require_model_file

    # What is mistyped is said here, before the seconds that importing torch takes.
    if model is not None:
        require_model_file(model)
    from atonce.cli.show import print_json
    from atonce.inference.information import info as describe

    described = describe(model)
    if json_:
        print_json(described)
        return
    _print_machine(described)
    if described["model"]:
        _print_model(described["model"])


def _print_machine(data: dict[str, Any]) -> None:
    from atonce.cli.show import print_lines
    from atonce.text import count_of

    threads, cores = data["threads"], data["threads"]["cores"]
    variables = ", ".join(f"{name}={value}" for name, value in threads["environment"].items())
    print_lines(
        f"atonce    {data['atonce']}, Python {data['python']}, {data['platform']}",
        f"packages  {', '.join(f'{name} {version}' for name, version in data['packages'].items() if version)}",
        *(f"extra     {extra}: {_versions(names)}" for extra, names in data["extras"].items()),
        *(f"device    {_device(device, data['default_device'])}" for device in data["devices"]),
        f"threads   {threads['torch']} of {count_of(cores, 'core')}{f' ({variables})' if variables else ''}",
        f"engines   {', '.join(data['engines'])}",
        f"weights   {data['weights_folder']}",
    )


def _versions(names: dict[str, str | None]) -> str:
    if not any(names.values()):
        return "not installed"
    return ", ".join(f"{name} {version or '(not installed)'}" for name, version in names.items())


def _device(device: dict[str, Any], default: str) -> str:
    memory = f", {device['memory_bytes'] / 1e9:.0f} GB" if device["memory_bytes"] else ""
    chosen = default == device["name"] or default == device["name"].partition(":")[0]
    return f"{device['name']}: {device['about']}{memory}{' (by default)' if chosen else ''}"


def _print_model(model: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from atonce.cli.show import print_lines, results, score_text
    from atonce.inference.information import changed_knobs
    from atonce.recipes.knobs import yaml_value

    network, expects, scores = model["architecture"], model["preprocessing"], model["scores"]
    scales = "".join(f", {pool} x {scale:.3g}" for pool, scale in model["skip_scales"].items())
    mean, std = (", ".join(f"{value:g}" for value in expects[key]) for key in ("mean", "std"))
    version = f", written by atonce {model['written_by']}" if model["written_by"] else ""
    data = model["training_data"]
    pictures = ", ".join(f"{count} {split}" for split, count in (data.get("pictures") or {}).items() if count)
    knobs = [f"{key}={yaml_value(value)}" for key, value in changed_knobs(model["recipe"]).items()]
    # One a line, as --set takes them.
    recipe = (knobs or ["the defaults"]) if model["recipe"] else ["none: it was not trained by atonce"]
    print_lines(
        "",
        f"model     {model['path']}, {model['megabytes']:.1f} MB{version}",
        f"network   FCN-{network['stride']}s, {model['parameters'] / 1e6:.2f} million weights{scales}",
        f"input     RGB 0..255, minus ({mean}), divided by ({std})",
        f"size      {_size_rule(model['input_size'])}",
        f"data      {data.get('format', 'unknown')}{f': {pictures}' * bool(pictures)}",
        *(f"{'recipe' if i == 0 else '':10}{line}" for i, line in enumerate(recipe)),
        f"scores    {_scores(scores)}",
    )
    iou = {row.get("name"): row.get("iou") for row in scores.get("classes") or ()}
    table = Table("id", "class", "colour", "mask value", "IoU", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for row in model["classes"]:
        value = "" if row["mask_value"] is None else str(row["mask_value"])
        colour = Text("■ ", f"rgb({','.join(map(str, row['colour']))})") + Text("#" + bytes(row["colour"]).hex(), "")
        table.add_row(str(row["id"]), Text(row["name"]), colour, value, score_text(iou.get(row["name"])))
    results.print("", table, sep="\n")


def _size_rule(rule: dict[str, Any]) -> str:
    if rule.get("size"):
        height, width = rule["size"]
        return f"every picture is seen at {width}x{height}"
    scale = "pictures are seen at their own size" if rule["scale"] == 1 else f"sides are scaled by {rule['scale']:g}"
    return scale if rule["max_side"] is None else f"{scale}, the longer side to {rule['max_side']} pixels at most"


def _scores(scores: dict[str, Any]) -> str:
    from atonce.cli.show import score_text

    if not scores:
        return "none: it was not validated by atonce"
    means = f"mean IoU {score_text(scores.get('mean_iou'))}, pixel accuracy {score_text(scores.get('pixel_accuracy'))}"
    return f"{means} (split {scores.get('split', '?')}, step {scores.get('step', '?')})"
