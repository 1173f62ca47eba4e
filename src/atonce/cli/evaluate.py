"""atonce evaluate"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atonce.cli.app import app
from atonce.cli.options import Data, Device, Engine, Format, Model, Truth

if TYPE_CHECKING:
    from atonce.data import Dataset, Item
    from atonce.evaluation.scoring import Measure, Segmenter
    from atonce.inference import Predictor


class Metric(str, Enum):
    """What is scored: every class, or road as the KITTI benchmark scores it."""

    CLASSES = "classes"
    ROAD = "road"


Only = Annotated[list[str] | None, typer.Option(help="Pictures by name or pattern ('um_*'). May be repeated.")]


@app.command()
def evaluate(
    model: Model,
    data: Data,
    split: Annotated[str, typer.Option(help="Which split: val, train, test, or all for train and val.")] = "val",
    only: Only = None,
    metric: Annotated[Metric, typer.Option(help="classes: IoU of each; road: also KITTI's MaxF.")] = Metric.CLASSES,
    birdseye: Annotated[bool, typer.Option("--birdseye", help="With --metric road: seen from above.")] = False,
    ground_truth: Truth = None,
    boundary: Annotated[
        float | None, typer.Option(min=0, help="Tolerance of boundary F1 in pixels; 0.75 % of the diagonal by default.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Without boundary F1 and calibration error.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Scores as JSON on stdout instead of a table.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for evaluation.json, CSV, gallery and report.html.")] = None,
    format: Format = None,
    device: Device = None,
    engine: Engine = None,
) -> None:
    """Score a model on a split: one count over all pictures, at the pictures' own size."""
    import json

    from atonce.cli.finish import run_evaluation
    from atonce.errors import UserError
    from atonce.inference import Predictor

    if birdseye and metric is not Metric.ROAD:
        raise UserError(f"--birdseye with --metric {metric.value}", "--metric road", "only roads are seen from above")
    if quick and boundary is not None:
        raise UserError("--quick and --boundary", "one of them", "--quick leaves out what --boundary is about")
    predictor = Predictor.from_file(model, device, engine)
    dataset = open_as_trained(predictor, data, format, ground_truth and ground_truth.value)
    items = choose(dataset, split, only or ())
    segmenter, measures = _what_to_measure(predictor, dataset, items, metric, birdseye, quick, boundary)
    about = {"model": str(model), "split": split}
    evaluation = run_evaluation(predictor, segmenter, dataset, items, measures, out, about)
    scores = evaluation.to_json()
    if json_:
        typer.echo(json.dumps({"data": str(data), **about, **scores}))
        return
    _print(scores, f"{data} ({split})")
    if out:
        typer.echo(f"report   {out / 'report.html'}")


def open_as_trained(predictor: Predictor, data: Path, format: str | None, ground_truth: str | None = None) -> Dataset:
    """Open data with the split and ground truth that the model was trained with, so that val is what val was.

    Args:
        ground_truth: another one than the model's, for KITTI road.
    """
    from atonce.data import open_dataset

    trained: dict[str, Any] = predictor.bundle.recipe.get("data", {})
    same = {"seed": trained.get("split_seed", 0), "val_fraction": trained.get("val_fraction", 0.2)}
    if ground_truth:
        return open_dataset(data, format, ground_truth="lane" if ground_truth == "lane" else "road", **same)
    dataset = open_dataset(data, format, **same)
    if trained.get("ground_truth") and dataset.format == "kitti-road":
        return open_dataset(data, format, ground_truth=trained["ground_truth"], **same)
    return dataset


def choose(dataset: Dataset, split: str, only: Sequence[str] = ()) -> tuple[Item, ...]:
    """The pictures of a split ("all": of train and val), or those of them whose name has one of the patterns.

    Raises:
        DataError: no such split, or a pattern without a picture.
    """
    from fnmatch import fnmatchcase

    from atonce.errors import DataError

    if split == "all":
        items = tuple(item for name in ("train", "val") if dataset.splits.get(name) for item in dataset.split(name))
    else:
        items = dataset.split(split)
    for pattern in only:
        if not any(fnmatchcase(item.name, pattern) for item in items):
            raise DataError(
                f"no picture of split '{split}' is named {pattern}",
                f"names like {items[0].name}" if items else "pictures",
                "" if split == "all" else "--split all looks in train and val",
            )
    return tuple(item for item in items if not only or any(fnmatchcase(item.name, pattern) for pattern in only))


def _what_to_measure(
    predictor: Predictor,
    dataset: Dataset,
    items: Sequence[Item],
    metric: Metric,
    birdseye: bool,
    quick: bool,
    tolerance: float | None,
) -> tuple[Segmenter, list[Measure]]:
    """The network as the metric sees it, and what is counted beside the confusion matrix."""
    from atonce.errors import DataError
    from atonce.evaluation.extra_metrics import default_metrics
    from atonce.evaluation.kitti_scores import RoadMetric, RoadSegmenter

    segmenter: Segmenter = predictor
    measures: list[Measure] = []
    if metric is Metric.ROAD:
        if dataset.format != "kitti-road":
            raise DataError(f"{dataset.root} is of format {dataset.format}", "data_road of KITTI for --metric road")
        segmenter = RoadSegmenter(predictor)
        measures.append(RoadMetric(items, dataset.extras["ground_truth"], birdseye))
    if not quick:
        measures += default_metrics(segmenter.labels, tolerance)
    return segmenter, measures


def _print(scores: dict[str, Any], title: str) -> None:
    from atonce.cli.show import print_scores, results

    if "road" in scores:
        results.print(_road_table(scores["road"], title))
    else:
        print_scores(scores, title)
    if "boundary" in scores:
        within = scores["boundary"]["tolerance_pixels"]
        reach = "0.75 % of the diagonal" if within is None else f"{within:g} pixels"
        error = _text(scores["calibration"]["expected_calibration_error"], 1)
        line = f"boundary F1 {_text(scores['boundary']['mean_f1'], 1)} (within {reach}), calibration error {error}"
        results.print(line, highlight=False, markup=False)


def _road_table(road: dict[str, Any], title: str) -> Any:
    """As the benchmark's page has it: per cent, and the threshold in 0..1."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    view = "seen from above" if road["view"] == "above" else "in the picture"
    heading = Text(f"{title}, {view}, in %")
    # Nine columns are to fit into 80 characters.
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in ("category", "pictures", "MaxF", "AP", "PRE", "REC", "FPR", "FNR", "threshold"):
        table.add_column(column, justify="left" if column == "category" else "right")
    for name, row in (*road["categories"].items(), ("pooled", road["pooled"])):
        if name == "pooled":
            table.add_section()
        keys = ("max_f", "average_precision", "precision", "recall", "fpr", "fnr")
        shares = [_text(row[key], 100, 2) for key in keys]
        table.add_row(name, str(row["pictures"]), *shares, _text(row["threshold"], 1, 3))
    return table


def _text(value: float | None, times: float, digits: int = 4) -> str:
    return "–" if value is None else f"{value * times:.{digits}f}"
