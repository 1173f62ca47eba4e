"""`atonce.train`: from a folder of data to a trained, evaluated and reported run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atonce import provenance
from atonce.errors import StorageError, option
from atonce.evaluation.evaluate_model import evaluate_items
from atonce.evaluation.extra_metrics import default_metrics
from atonce.evaluation.scoring import Evaluation
from atonce.inference.load import load
from atonce.progress import shown_as
from atonce.recipes import Recipe
from atonce.remote import Results, local_copy, results_at
from atonce.text import count_of
from atonce.training.callbacks import Callback, CallbackList
from atonce.training.loop import fit
from atonce.training.progress_display import progress_display
from atonce.training.recipe_choice import Overrides, choose_run
from atonce.training.run_folder import RunFolder
from atonce.training.setup import set_up
from atonce.training.trackers import tracked
from atonce.training.training_run import TrainingRun

if TYPE_CHECKING:
    from atonce.inference.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A run that has come to its end. It can be given wherever a model is asked for.

    Attributes:
        folder: the run folder.
        evaluation: of the best model on the validation split, in full precision; None in other processes than the
            first.
        steps: updates made, over all sessions of the run.
        best_step: the step of the best validation, whose network is kept.
        minutes: time spent training.
        waited: share of this session's training, 0..1, that went by waiting for data; None where nothing was trained.
        stop_reason: why a callback has stopped the run; None where it came to the end of its recipe.
    """

    folder: Path
    evaluation: Evaluation | None
    steps: int
    best_step: int
    minutes: float
    waited: float | None = None
    stop_reason: str | None = None

    @property
    def model(self) -> Path:
        """The model file: the network that was best on validation."""
        return self.folder / "model.safetensors"

    @property
    def scores(self) -> dict[str, Any]:
        """The scores on the validation split as evaluation.json holds them: "mean_iou", "pixel_accuracy", "classes"."""
        return self.evaluation.to_json() if self.evaluation else {}

    def to_json(self) -> dict[str, Any]:
        """Return what `atonce train` prints as JSON; the page "The command line" explains the keys, and they stay."""
        return {
            "folder": str(self.folder),
            "model": str(self.model),
            "report": str(self.folder / "report.html"),
            "steps": self.steps,
            "best_step": self.best_step,
            "minutes": self.minutes,
            "waited": self.waited,
            "stop_reason": self.stop_reason,
            "scores": self.scores,
        }

    def load(self, *, device: str | None = None, engine: str | None = None) -> Predictor:
        """Load the best model for use, see `atonce.load`."""
        return load(self.folder, device=device, engine=engine)

    def __fspath__(self) -> str:
        return fspath(self.folder)


def train(
    data: str | PathLike[str],
    *,
    recipe: str | PathLike[str] | Recipe | None = None,
    out: str | PathLike[str] | None = None,
    weights: str | PathLike[str] | None = None,
    overrides: Overrides | None = None,
    seed: int | None = None,
    max_minutes: float | None = None,
    teacher: str | PathLike[str] | None = None,
    format: str | None = None,
    images: str | PathLike[str] | None = None,
    masks: str | PathLike[str] | None = None,
    ground_truth: Literal["road", "lane"] | None = None,
    bands: Sequence[int] | None = None,
    resume: bool = False,
    device: str | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> TrainedRun:
    """Train a network on a folder of data, evaluate the best one on the validation split, and write a report.

    The same as `atonce train`: the same files and the same numbers, bit for bit.

    >>> run = atonce.train("path/to/data", weights="vgg16_features.pth", max_minutes=20)   # doctest: +SKIP
    >>> run.scores["mean_iou"], run.folder                                                 # doctest: +SKIP
    >>> run.load()("street.jpg").overlay()                                                 # doctest: +SKIP

    Args:
        data: the folder of the data set; its format is recognised.
        recipe: a shipped recipe's name, a YAML file, or a `Recipe`; None takes the one for the data's format.
        out: the run folder; None for runs/<data>-<recipe>.
        weights: pretrained VGG-16: a file or a name (`atonce weights list`); or a model file or run folder of one's own
            to go on from, whose network is taken as it is where the recipe's author or `overrides` set no other one;
            "none" starts afresh; None leaves it to the recipe.
        overrides: changes to the recipe, {"optim.lr": 1e-4} or ["optim.lr=1e-4"].
        seed: of all that is random; None leaves it to the recipe.
        max_minutes: stop with the step in which this time is over, over all sessions of a run; reading the data,
            calibration and the last validation and evaluation come on top.
        teacher: a model file to learn from, too (distillation); "none" learns from the masks alone.
        format: the data's format; None recognises it.
        images, masks: the folders of pictures and of masks, in `data` or elsewhere, where the layout is none that is
            known.
        ground_truth: KITTI road only: the whole road, or the lane that the car is in.
        bands: of pictures with more than three, those that are read, counted from 1: [4, 3, 2] as red, green and blue,
            or one as grey; None leaves it to the recipe.
        resume: go on with the run in `out`, by its own recipe.
        device: "cpu", "cuda", "cuda:1", ...; None takes the first GPU, or the CPU. Of several processes (torchrun,
            accelerate launch) each takes the GPU of its number.
        callbacks: see each step, validation and the end, and may stop the run.
        progress: whether progress is shown on stderr: bars on a terminal and in a notebook, lines elsewhere.

    Returns:
        A `TrainedRun`: `.model`, `.scores`, `.folder`, `.load()`.

    Raises:
        UserError: of the kind that fits; nothing has been trained or overwritten then.
        TrainingError: the loss or the gradient is not finite; what was saved before is kept.
        KeyboardInterrupt: Ctrl-C, or its subclass `atonce.signals.Terminated`: SIGTERM or SIGHUP. From the first step
            on, the state has been saved.
    """
    session = provenance.begin_session()
    data = local_copy(data)
    with ExitStack() as stack:
        results = None
        if out is not None:
            results = stack.enter_context(results_at(out, leave_out=[RunFolder.DECODED]))
            out = results.folder
        folder, chosen = choose_run(
            data,
            recipe=recipe,
            out=out,
            resume=resume,
            overrides=overrides,
            weights=weights,
            teacher=teacher,
            format=format,
            images=images,
            masks=masks,
            ground_truth=ground_truth,
            bands=bands,
            seed=seed,
            max_minutes=max_minutes,
        )
        with _callback(callbacks, progress=progress) as callback:
            run = set_up(chosen, Path(data), folder, resume=resume, device=device, session=session, callback=callback)
            stack.enter_context(run.lock)
            with tracked(run, callback) as feeding:
                fit(run, CallbackList([feeding, _BringResults(results, callback.on_note)]) if results else feeding)
            if note := unseen_pictures(run):
                callback.on_note(note)
        evaluation = _evaluate_best(run, session, progress=progress) if run.is_main else None
    return TrainedRun(
        folder=folder,
        evaluation=evaluation,
        steps=run.progress.step,
        best_step=run.progress.best_step,
        minutes=run.progress.seconds / 60,
        waited=run.waited,
        stop_reason=run.stop_reason,
    )


class _BringResults(Callback):
    """Brings a run folder to its address each time its state is saved: a machine that is taken away leaves that much.

    A connection that breaks ends no training: what could not be brought there comes with the next state, or at the end.
    """

    may_stop = False

    def __init__(self, results: Results, on_note: Callable[[str], None]) -> None:
        self._results, self._on_note = results, on_note

    def on_save(self, run: TrainingRun) -> None:
        if not run.is_main:
            return
        try:
            self._results.push_rest()
        except StorageError as error:
            self._on_note(f"{error.found}; it is tried again when the next state is saved")


def unseen_pictures(run: TrainingRun) -> str | None:
    """Say of a run that was shorter than an epoch how many pictures it has not seen; None of a longer one."""
    pictures, seen = len(run.dataset.split("train")), run.progress.step * run.recipe.train.batch_size
    if seen >= pictures:
        return None
    return (
        f"warning: {count_of(run.progress.step, 'step')} of {count_of(run.recipe.train.batch_size, 'picture')}: {seen} "
        f"of the {count_of(pictures, 'training picture')} {'was' if seen == 1 else 'were'} seen, less than "
        f"an epoch; give it more time ({option('max_minutes')}, train.steps), or smaller pictures "
        "(data.scale, data.crop)"
    )


def run_training(
    recipe: Recipe, data: Path, out: Path, *, resume: bool = False, callback: Callback | None = None
) -> TrainingRun:
    """Train a network as the recipe says and leave it in the run folder `out`, without the final evaluation.

    Raises:
        UserError, KeyboardInterrupt: as `train`.
    """
    callback = callback or Callback()
    run = set_up(recipe, data, out, resume=resume, callback=callback)
    with run.lock, tracked(run, callback) as feeding:
        fit(run, feeding)
    return run


@contextmanager
def _callback(callbacks: Sequence[Callback], *, progress: bool) -> Iterator[Callback]:
    """Open the display, if it is wanted, and put it before the caller's own callbacks."""
    if not progress:
        yield CallbackList(callbacks)
        return
    with progress_display() as display:
        yield CallbackList([display, *callbacks])


def _evaluate_best(run: TrainingRun, session: provenance.Session, *, progress: bool) -> Evaluation:
    """Evaluate the best model in full precision, and write everything into the run folder."""
    about = {
        # Of several sessions, the first has the weights and the changes to the recipe.
        **run.progress.sessions[0],
        "sessions": run.progress.sessions,
        "split": "val",
        "minutes": round(run.progress.seconds / 60, 2),
        "data": run.about_data,
        "best_step": run.progress.best_step,
        "data_name": run.dataset.root.resolve().name,
    }
    with shown_as("evaluating", progress=progress) as bar:
        predictor = load(run.folder.model, device=run.accelerator.device)
        return evaluate_items(
            predictor,
            run.dataset,
            run.val_items,
            metrics=default_metrics(predictor.labels),
            session=session,
            out=run.folder.path,
            about=about,
            progress=bar,
        )
