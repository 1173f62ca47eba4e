"""Folders of pictures: `atonce predict` and `atonce evaluate` as they are, against one picture after the other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from atonce.data import open_dataset
from atonce.evaluation.extra_metrics import default_metrics
from atonce.evaluation.scoring import score_items
from atonce.inference import load
from atonce.inference.folders import predict_files
from atonce.inference.inputs import Job
from atonce.recipes import load_recipe
from atonce.streets import write_streets
from benchmarks.results import Section
from benchmarks.starting import write_model
from benchmarks.timing import Clock, Repetitions, take_turns
from benchmarks.workers import Contestant, crew

PREDICT, EVALUATE = "atonce predict", "atonce evaluate"
ONE_BY_ONE, OURS = "one after the other", "read ahead, together, finished behind"

NOTE = (
    "{what} from the file to what is written of it (overlay and label picture) or counted of it (confusion matrix, "
    "boundary F1, calibration error), the slim network of the recipe `streets`, {weights}, on {device}. One after the "
    "other: each is read, segmented by all threads and written before the next one is read, as it was before."
)


@dataclass(frozen=True)
class Pictures:
    """The pictures that a repetition goes through.

    Attributes:
        count: of the data set's train and val splits, the first ones.
        size: (height, width) of generated streets, where there is no data set.
    """

    count: int = 100
    size: tuple[int, int] = (360, 480)


class Folder:
    """A folder of pictures that is segmented, or scored, once a repetition.

    Args:
        one_by_one: whether each picture is a call of its own.
    """

    def __init__(self, model: Path, data: Path, out: Path, device: str, *, count: int, one_by_one: bool) -> None:
        self.predictor, self.out, self.one_by_one = load(model, device=device), out, one_by_one
        self.dataset = open_dataset(data)
        items = [item for name in ("train", "val") for item in self.dataset.splits.get(name, ())]
        self.items = items[:count]

    def prepare(self, case: str) -> Callable[[], object]:
        return self._predict if case == PREDICT else self._evaluate

    def _predict(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        jobs = [Job(item.image, Path(item.name)) for item in self.items]
        for part in [[job] for job in jobs] if self.one_by_one else [jobs]:
            broken = predict_files(self.predictor, part, self.out).broken
            assert not broken, broken[0]

    def _evaluate(self) -> None:
        for part in [[item] for item in self.items] if self.one_by_one else [self.items]:
            score_items(self.predictor, self.dataset, part, metrics=default_metrics(self.predictor.labels))


def run(
    data: Path | None,
    model: Path | None,
    pictures: Pictures,
    folder: Path,
    *,
    seed: int,
    device: str,
    clock: Clock,
    repetitions: Repetitions,
) -> Section:
    """Measure both ways in turn.

    Args:
        data: a data set of CamVid's classes with train and val splits; None draws streets into `folder`.
        model: a model file of CamVid's classes; None takes random weights, whose labels are speckled, which makes
            label pictures slower to write.
    """
    what = f"{pictures.count} pictures of {data}"
    if data is None:
        data = write_streets(folder / "pictures", train=pictures.count, val=1, seed=seed, size=pictures.size)
        what = f"{pictures.count} generated streets of {pictures.size[0]}x{pictures.size[1]}"
    weights = f"weights of {model}" if model else "random weights"
    if model is None:
        model, slim = folder / "folders.safetensors", load_recipe("streets").model
        write_model(model, slim.width, slim.head_width, seed)
    section = Section("folders", "Folders of pictures", NOTE.format(what=what, weights=weights, device=device))
    section.baselines = (ONE_BY_ONE,)
    makers: dict[str, Callable[[], Contestant]] = {
        name: partial(Folder, model, data, folder / f"out-{one}", device, count=pictures.count, one_by_one=one)
        for name, one in ((ONE_BY_ONE, True), (OURS, False))
    }
    failed: dict[str, str] = {}
    with crew(makers, failed) as runners:
        for case, share in ((PREDICT, 0.5), (EVALUATE, 0.8)):
            found = take_turns(runners, case, repetitions, share * clock.left("folders"), failed)
            section.add(case, found, pictures=pictures.count)
            section.lose(case, failed)
    return section
