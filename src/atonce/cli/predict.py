"""atonce predict"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atonce.cli.app import app
from atonce.cli.options import Device, Engine, Model
from atonce.errors import UserError, option

if TYPE_CHECKING:
    from atonce.inference.folders import Summary
    from atonce.inference.inputs import Job


@app.command()
def predict(
    model: Model,
    inputs: Annotated[list[Path], typer.Argument(help="Pictures, videos, and folders of these.")],
    out: Annotated[
        Path,
        typer.Option(help="Folder for overlays/, labels/ and probabilities/; - plays one video to a player on stdout."),
    ] = Path("out"),
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Of pictures also write float32 (C, H, W) as .npy.")
    ] = False,
    label_video: Annotated[
        bool, typer.Option("--label-video", help="Of videos also write the ids: labels/NAME.mkv, grey, lossless.")
    ] = False,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the colours in the overlay.")] = 0.5,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave out the sound of videos.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do what is done already once more.")] = False,
    max_megapixels: Annotated[
        float, typer.Option(min=0.01, max=500, help="Of a picture, the network's padding counted; larger: left out.")
    ] = 500,
    device: Device = None,
    engine: Engine = None,
) -> None:
    """Segment pictures and videos: an overlay of the same size for each, and a label picture of each picture.

    What the same model has done with the same options is skipped.
    """
    from atonce.inference.folders import predict as predict_all
    from atonce.inference.inputs import find_jobs
    from atonce.progress import progress_bar

    if str(out) == "-":
        source = _only_video(find_jobs(inputs))
        _play(model, source, opacity=opacity, audio=not no_audio, device=device, engine=engine)
        return
    with progress_bar("predicting") as progress:
        summary = predict_all(
            model,
            inputs,
            out=out,
            opacity=opacity,
            probabilities=probabilities,
            label_video=label_video,
            audio=not no_audio,
            overwrite=overwrite,
            max_megapixels=max_megapixels,
            device=device,
            engine=engine,
            progress=progress,
            on_note=_print_note,
        )
    for error in summary.broken:
        _print_note(f"atonce: {error.for_command_line()}")
    typer.echo(_summary_line(summary))
    if summary.broken:
        raise typer.Exit(2)


def _print_note(text: str) -> None:
    from atonce.progress import console

    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _summary_line(summary: Summary) -> str:
    jobs = summary.jobs
    videos = sum(job.is_video for job in jobs)
    what = "videos" if videos == len(jobs) else "pictures and videos" if videos else "pictures"
    line = f"{summary.done} of {len(jobs)} {what} segmented"
    if summary.skipped:
        line += f", {summary.skipped} skipped that were done already"
    if summary.videos:
        frames, seconds = (sum(getattr(v, name) for v in summary.videos) for name in ("frames", "seconds"))
        line += f", {frames} frames at {frames / seconds:.1f} frames/s"
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


def _play(model: Path, source: Path, *, opacity: float, audio: bool, device: str | None, engine: str | None) -> None:
    from atonce.inference import load
    from atonce.inference.video.overlay import play_video

    report = play_video(load(model, device=device, engine=engine), source, opacity=opacity, audio=audio)
    speed = f"{report.frames} frames at {report.frames_per_second:.1f} frames/s"
    _print_note("\n".join([*report.notes, speed]))
