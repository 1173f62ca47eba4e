"""atonce predict"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atonce.cli.app import app
from atonce.cli.options import Device, Engine, Model
from atonce.errors import UserError

if TYPE_CHECKING:
    from atonce.inference import Predictor
    from atonce.inference.folders import Job, Summary


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
    device: Device = None,
    engine: Engine = None,
) -> None:
    """Segment pictures and videos: an overlay of the same size for each, and a label picture of each picture.

    What the same model has done with the same options is skipped.
    """
    from atonce.cli.show import console, progress_of
    from atonce.inference import Predictor
    from atonce.inference.finished_results import fingerprint
    from atonce.inference.folders import Options, find_jobs, predict_files
    from atonce.storage import make_folder

    def note(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    jobs = find_jobs(inputs)
    if str(out) == "-":
        source = _only_video(jobs)
        _play(Predictor.from_file(model, device, engine), source, opacity, not no_audio)
        return
    make_folder(out)
    predictor = Predictor.from_file(model, device, engine)
    options = Options(opacity, probabilities, label_video, not no_audio)
    with progress_of("predicting") as progress:
        summary = predict_files(predictor, jobs, out, options, fingerprint(model), overwrite, progress, note)
    for error in summary.broken:
        note(f"atonce: {error.for_command_line()}")
    typer.echo(_told(summary, jobs, out))
    if summary.broken:
        raise typer.Exit(2)


def _told(summary: Summary, jobs: list[Job], out: Path) -> str:
    videos = sum(job.is_video for job in jobs)
    what = "videos" if videos == len(jobs) else "pictures and videos" if videos else "pictures"
    told = f"{summary.done} of {len(jobs)} {what} segmented"
    if summary.skipped:
        told += f", {summary.skipped} skipped that were done already"
    if summary.videos:
        frames, seconds = (sum(getattr(v, name) for v in summary.videos) for name in ("frames", "seconds"))
        told += f", {frames} frames at {frames / seconds:.1f} frames/s"
    return f"{told}: {out}"


def _only_video(jobs: list[Job]) -> Path:
    if len(jobs) > 1 or not jobs[0].is_video:
        found = f"{len(jobs)} files" if len(jobs) > 1 else str(jobs[0].source)
        raise UserError(f"--out - with {found}", "one video")
    if sys.stdout.isatty():
        raise UserError("--out - writes a video to the terminal", "a player behind it", "append `| mpv -`")
    return jobs[0].source


def _play(predictor: Predictor, source: Path, opacity: float, audio: bool) -> None:
    from atonce.cli.show import console
    from atonce.inference.video.overlay import play_video

    report = play_video(predictor, source, opacity, audio)
    lines = [*report.notes, f"{report.frames} frames at {report.frames_per_second:.1f} frames/s"]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
