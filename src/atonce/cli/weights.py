"""atonce weights: what there is by name, and weights from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atonce.cli.app import app

if TYPE_CHECKING:
    from atonce.labels import LabelSpec
    from atonce.weights import ImportedWeights

weights_app = typer.Typer(help="Pretrained weights: names, checks, conversion.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")

Source = Annotated[str, typer.Argument(metavar="SRC", help="A file, or a name from `atonce weights list`.")]


@weights_app.command("list")
def list_weights() -> None:
    """Names for --weights, where their files are kept, and which layouts of files are read."""
    from atonce.weights import LAYOUTS, REGISTRY
    from atonce.weights.registry import cache_folder

    typer.echo("names for --weights, downloaded when first used")
    for entry in REGISTRY.values():
        here = "here" if (cache_folder() / entry.file_name).is_file() else "not here"
        typer.echo(f"\n  {entry.name} ({here})\n    {entry.about}\n    {entry.file_name}")
    typer.echo(f"\nkept in {cache_folder()}\n\nlayouts of files, recognised, or given to `weights convert --from`\n")
    for name, layout in LAYOUTS.items():
        typer.echo(f"  {name}\n    {layout.about}")


@weights_app.command()
def verify(
    source: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="All downloaded files by default.")
    ] = None,
) -> None:
    """Check downloaded files against their published sha256, or look into a file."""
    from atonce.errors import UserError, WeightsError
    from atonce.weights import REGISTRY
    from atonce.weights import registry as published

    if source is not None and source not in REGISTRY:
        _verify_file(source)
        return
    failed = False
    for entry in REGISTRY.values() if source is None else [REGISTRY[source]]:
        path = published.cache_folder() / entry.file_name
        if not path.is_file():
            if source is not None:
                raise WeightsError(f"{entry.name} is not at {path}", remedy=f"fetch {entry.url} and put it there")
            typer.echo(f"{entry.name}: not downloaded")
            continue
        try:
            typer.echo(f"{entry.name}: sha256 {published.verify(path, entry)} as published")
        except UserError as error:
            typer.echo(f"atonce: {error.for_command_line()}", err=True)
            failed = True
    if failed:
        raise typer.Exit(2)


@weights_app.command()
def convert(
    source: Source,
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    from_: Annotated[
        str | None, typer.Option("--from", metavar="LAYOUT", help="Recognised by default; see `atonce weights list`.")
    ] = None,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="An FCN-8s trained at once, not in stages: pools were scaled.")
    ] = False,
    classes: Annotated[
        Path | None, typer.Option(help="classes.yaml or .csv of an FCN's classes; 21 of them are VOC's by default.")
    ] = None,
) -> None:
    """Turn a VGG-16 into a file for --weights, or an FCN checkpoint into a model for `atonce predict`."""
    from atonce.errors import WeightsError
    from atonce.progress import console
    from atonce.progress import progress_bar as progress_of
    from atonce.storage import make_folder, sha256_of
    from atonce.weights import find_weights, read_weights, trained_at_once, write_trunk

    if out.suffix != ".safetensors":
        raise WeightsError(f"--out {out}", "a name that ends in .safetensors")
    with progress_of("reading weights") as progress:
        path = find_weights(source, progress)
        if out.exists() and path.exists() and out.samefile(path):
            raise WeightsError(f"--out {out} is the file to convert", "another name")
        imported = read_weights(source, progress, from_)
    if imported.layout == "atonce":
        raise WeightsError(f"{path} is a file of atonce already", "weights from elsewhere", "use it as it is")
    if at_once:
        imported = trained_at_once(imported)
    elif imported.network and imported.network.stride == 8:
        note = "taken for a staged FCN-8s; add --at-once if it was trained at once"
        console.print(note, highlight=False, soft_wrap=True)
    origin = {"file": path.name, "sha256": sha256_of(path), "layout": imported.layout}
    make_folder(out.parent)
    if imported.network is None:
        if classes is not None:
            raise WeightsError(f"--classes with a VGG-16 ({imported.layout})", "an FCN checkpoint", "leave it out")
        write_trunk(imported, out, origin)
    else:
        _write_model(imported, classes, out, origin)
    typer.echo(f"{_describe(imported)}\nwritten  {out}")


def _verify_file(source: str) -> None:
    """Reading it is the check: names, shapes and finite values."""
    from atonce.storage import sha256_of
    from atonce.weights import REGISTRY, find_weights, read_weights

    path = find_weights(source)
    imported = read_weights(path)
    digest = sha256_of(path)
    names = [entry.name for entry in REGISTRY.values() if digest.startswith(entry.sha256)]
    typer.echo(f"{_describe(imported)}\nsha256   {digest}" + (f"\n         as published: {names[0]}" if names else ""))


def _write_model(imported: ImportedWeights, classes: Path | None, out: Path, origin: dict[str, Any]) -> None:
    from atonce.model_file import ModelFile
    from atonce.weights import build_network

    labels = _labels(len(imported.tensors["score_fc7.bias"]), classes)
    ModelFile(build_network(imported), labels, training_data={"converted_from": origin}).save(out)


def _labels(count: int, classes: Path | None) -> LabelSpec:
    """Names and colours for the classes of a checkpoint, which holds neither."""
    from atonce.data.classes_file import read_classes
    from atonce.data.formats.voc import LABELS
    from atonce.errors import WeightsError
    from atonce.labels import LabelSpec

    if classes is not None:
        labels = read_classes(classes).labels
        if labels.num_classes != count:
            raise WeightsError(f"{classes} names {labels.num_classes} classes", f"the checkpoint's {count}")
        return labels
    if count == LABELS.num_classes:
        return LABELS
    try:
        return LabelSpec.from_names([f"class {i}" for i in range(count)])
    except ValueError as error:
        raise WeightsError(str(error)) from None


def _describe(imported: ImportedWeights) -> str:
    """What a file turned out to hold, a line for each thing to know."""
    network, means = imported.network, imported.preprocessing
    convolutions = sum(layer.startswith("trunk.") for layer in imported.layers)
    head = f"fc6 and fc7 of {imported.head_width}" if imported.head_width else "no fc6 and fc7"
    lines = [f"layout   {imported.layout}", f"layers   {convolutions} convolutions, {head}; all values finite"]
    if network is not None:
        count = len(imported.tensors["score_fc7.bias"])
        trained = f", skip scales {network.skip_scales}" if network.stride == 8 else ""
        lines.append(f"network  FCN-{network.stride}s, {count} classes, {network.upsampling} upsampling{trained}")
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (means.mean, means.std))
    return "\n".join([*lines, f"input    RGB 0..255, minus ({mean}), divided by ({std})"])
