"""atonce predict"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atonce.cli.app import app
from atonce.cli.options import TTA, Device, Engine, Json, Model, Quiet, out_option
from atonce.cli.terminal import columns_of
from atonce.errors import UserError, as_command_line, option
from atonce.text import count_of, wrapped

if TYPE_CHECKING:
    from atonce.inference.folders import Summary
    from atonce.inference.inputs import Job


class Labels(str, Enum):
    """The styles of label pictures."""

    PALETTE = "palette"
    GREY = "grey"
    VALUES = "values"
    COLOURS = "colours"


class Overlays(str, Enum):
    """The format of pictures' overlays."""

    JPG = "jpg"
    PNG = "png"
    NONE = "none"


class Annotations(str, Enum):
    """The annotations that are written of pictures."""

    COCO = "coco"
    CVAT = "cvat"
    LABELME = "labelme"
    JSON = "json"
    CSV = "csv"


@app.command()
def predict(
    model: Model,
    inputs: Annotated[list[Path], typer.Argument(help="Pictures, videos, and folders of these.")],
    out: Annotated[
        Path,
        out_option("Folder for overlays/, labels/ and the rest; - plays one video to a player on stdout."),
    ] = Path("out"),
    only: Annotated[
        list[str] | None, typer.Option(metavar="CLASS", help="This class alone, the rest untouched. May be repeated.")
    ] = None,
    colour: Annotated[
        list[str] | None,
        typer.Option("--colour", "--color", metavar="CLASS=#RRGGBB", help="Of a class: road=#00ff00, road=lime."),
    ] = None,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the colours in the overlay.")] = 0.5,
    overlays: Annotated[
        Overlays, typer.Option(metavar="FORMAT", help="Overlays of pictures as jpg or png, or none.")
    ] = Overlays.JPG,
    labels: Annotated[
        Labels,
        typer.Option(
            metavar="STYLE",
            help="Label pictures as palette (ids in colour), grey (ids, for OpenCV), values (those of the masks that "
            "were trained on) or colours.",
        ),
    ] = Labels.PALETTE,
    write: Annotated[
        list[Annotations] | None,
        typer.Option(
            metavar="FORMAT",
            help="Of pictures also coco (coco.json, masks), cvat (cvat.zip, masks for CVAT), labelme (labelme/, "
            "polygons), json (json/, areas and polygons) or csv (areas.csv). May be repeated.",
        ),
    ] = None,
    simplify: Annotated[
        float, typer.Option(min=0, metavar="PIXELS", help="Polygons may be off by this, for fewer points.")
    ] = 1,
    min_area: Annotated[
        float, typer.Option(min=0, metavar="PIXELS", help="Leave smaller areas out of annotations.")
    ] = 0,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="0..1", help="Of one --only: where its probability is at least this."),
    ] = None,
    maps: Annotated[
        bool,
        typer.Option("--maps", help="Also maps/CLASS/NAME.png: probability in grey; with --threshold 0 or 255."),
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Of pictures also write float32 (C, H, W) as .npy.")
    ] = False,
    label_video: Annotated[
        bool, typer.Option("--label-video", help="Of videos also write the ids: labels/NAME.mkv, grey, lossless.")
    ] = False,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave out the sound of videos.")] = False,
    scale: Annotated[
        float | None,
        typer.Option(metavar="FACTOR", help="On height and width before the network; that of the training by default."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="PIXELS|WxH", help="The longer side that the network sees, or width and height; instead of --scale."
        ),
    ] = None,
    tta: TTA = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do what is done already once more.")] = False,
    max_megapixels: Annotated[
        float, typer.Option(min=0.01, max=500, help="Of a picture, the network's padding counted; larger: left out.")
    ] = 500,
    device: Device = None,
    engine: Engine = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Segment pictures and videos: an overlay of the same size for each, and a label picture of each picture.

    What the same model has done with the same options is skipped; results are no inputs, nor are a data set's masks.
    Several processes (torchrun, accelerate launch) share the files: the page "From a laptop to a rack".
    """
    from atonce.model_location import require_model_file, require_model_first
    from atonce.remote import require_existing

    # What is mistyped is said here, before the seconds that importing torch takes.
    require_model_first(model, inputs, "predict")
    require_model_file(model)
    for path in inputs:
        require_existing(path, "pictures or videos, or folders of them")
    from atonce.cli.show import print_note
    from atonce.inference.folders import predict as predict_all
    from atonce.inference.inputs import find_jobs
    from atonce.process_group import is_first_process
    from atonce.progress import progress_bar

    colours, seen = dict(_colour(text) for text in colour or ()), _size(size)
    if str(out) == "-":
        if json_:
            raise UserError(f"{option('out', '-')} with {option('json', value=True)}", "one of them on stdout")
        source = _only_video(find_jobs(inputs))
        loading = {"device": device, "engine": engine, "scale": scale, "size": seen, "tta": tta}
        shown = {"opacity": opacity, "colours": colours, "only": only or None, "threshold": threshold}
        _play(model, source, loading, audio=not no_audio, **shown)
        return
    with progress_bar("predicting") as progress:
        summary = predict_all(
            model,
            inputs,
            out=out,
            opacity=opacity,
            only=only or None,
            colours=colours,
            threshold=threshold,
            overlays=overlays.value,
            labels=labels.value,
            probabilities=probabilities,
            maps=maps,
            label_video=label_video,
            audio=not no_audio,
            write=[kind.value for kind in write or ()],
            simplify=simplify,
            min_area=min_area,
            scale=scale,
            size=seen,
            tta=tta,
            overwrite=overwrite,
            max_megapixels=max_megapixels,
            device=device,
            engine=engine,
            progress=progress,
            on_note=print_note,
        )
    if is_first_process():
        _print(summary, write or (), as_json=json_)
    if summary.broken:
        raise typer.Exit(2)


def _print(summary: Summary, write: Sequence[Annotations], *, as_json: bool) -> None:
    from atonce.cli.show import print_json, print_lines
    from atonce.inference.annotation_files import annotation_path

    for error in summary.broken:
        typer.echo(wrapped(f"atonce: {error.for_command_line()}", columns_of(sys.stderr)), err=True)
    if as_json:
        print_json(summary.to_json())
    else:
        lines = [f"{kind:9}{summary.out}/{annotation_path(kind)}" for kind in (one.value for one in write)]
        print_lines(summary_line(summary), *(lines if summary.done + summary.skipped > len(summary.videos) else ()))


def _colour(text: str) -> tuple[str, str]:
    """Read CLASS=COLOUR; a class may have a = in its name."""
    name, equals, value = text.rpartition("=")
    if not equals or not name:
        raise UserError(option("colour", text), "a class and its colour", "for example road=#00ff00")
    return name, value


def _size(text: str | None) -> int | tuple[int, int] | None:
    """Read "640", the longer side, or "640x192", width and height: (height, width)."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() and int(side) > 0 for side in sides):
        raise UserError(option("size", text), "pixels: the longer side, such as 640, or width and height, 640x192")
    return int(sides[0]) if len(sides) == 1 else (int(sides[1]), int(sides[0]))


def summary_line(summary: Summary) -> str:
    """Say in a line what was segmented, how fast, and where it is."""
    jobs = summary.jobs
    videos = sum(job.is_video for job in jobs)
    what = "video" if videos == len(jobs) else "picture"
    what = "pictures and videos" if 0 < videos < len(jobs) else what if len(jobs) == 1 else f"{what}s"
    line = f"{summary.done} of {len(jobs)} {what} segmented"
    if summary.skipped:
        line += f", {summary.skipped} skipped that were done already"
        line += "" if summary.done else f" ({as_command_line(option('overwrite', value=True))} does them once more)"
    if summary.done > len(summary.videos) and summary.seconds > 0:
        rate = (summary.done - len(summary.videos)) / summary.seconds
        line += f", {f'{rate:,.0f}' if rate >= 100 else f'{rate:.3g}'} pictures/s"
    if summary.videos:
        frames, seconds = (sum(getattr(v, name) for v in summary.videos) for name in ("frames", "seconds"))
        line += f", {count_of(frames, 'frame')} at {frames / seconds:.1f} frames/s"
    return f"{line}: {summary.out}"


def _only_video(jobs: list[Job]) -> Path:
    if len(jobs) > 1 or not jobs[0].is_video:
        found = f"{len(jobs)} files" if len(jobs) > 1 else str(jobs[0].source)
        raise UserError(f"{option('out', '-')} with {found}", "one video")
    if sys.stdout.isatty():
        raise UserError(
            f"{option('out', '-')} writes a video to the terminal", "a player behind it", "append `| mpv -`"
        )
    return jobs[0].source


def _play(model: Path, source: Path, loading: dict[str, Any], **shown: Any) -> None:
    from atonce.cli.show import print_note
    from atonce.inference import load
    from atonce.inference.video.overlay import play_video

    report = play_video(load(model, **loading), source, **shown)
    speed = f"{count_of(report.frames, 'frame')} at {report.frames_per_second:.1f} frames/s"
    print_note("\n".join([*report.marked, speed]))
