"""atonce evaluate"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from atonce.cli.app import app
from atonce.cli.completion import complete_split
from atonce.cli.options import TTA, Data, Device, Engine, Format, Images, Json, Masks, Model, Quiet, Truth, out_option


class Metric(str, Enum):
    """The scores that are wanted: of every class, or of road as the KITTI benchmark scores it."""

    CLASSES = "classes"
    ROAD = "road"


Only = Annotated[list[str] | None, typer.Option(help="Pictures by name or pattern ('um_*'). May be repeated.")]


@app.command()
def evaluate(
    model: Model,
    data: Data,
    split: Annotated[
        str,
        typer.Option(help="Which split: val, train, test, or all for train and val.", autocompletion=complete_split),
    ] = "val",
    only: Only = None,
    metric: Annotated[Metric, typer.Option(help="classes: IoU of each; road: also KITTI's MaxF.")] = Metric.CLASSES,
    birdseye: Annotated[bool, typer.Option("--birdseye", help="With --metric road: seen from above.")] = False,
    ground_truth: Truth = None,
    boundary: Annotated[
        float | None, typer.Option(min=0, help="Tolerance of boundary F1 in pixels; 0.75 % of the diagonal by default.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Without boundary F1 and calibration error.")] = False,
    json_: Json = False,
    out: Annotated[Path | None, out_option("Folder for evaluation.json, CSV, gallery and report.html.")] = None,
    format: Format = None,
    images: Images = None,
    masks: Masks = None,
    device: Device = None,
    engine: Engine = None,
    tta: TTA = None,
    quiet: Quiet = False,
) -> None:
    """Score a model on a split: one count over all pictures, at the pictures' own size.

    Several processes (torchrun, accelerate launch) share the pictures: the page "From a laptop to a rack".
    """
    from atonce.cli.show import print_json, print_lines, print_note
    from atonce.data.formats import require_folder
    from atonce.model_location import require_model_file, require_model_first

    # What is mistyped is said here, before the seconds that importing torch takes.
    require_model_first(model, [data], "evaluate")
    require_model_file(model)
    require_folder(data)
    from atonce.evaluation import evaluate as evaluate_model
    from atonce.process_group import is_first_process
    from atonce.remote import address_of

    evaluation = evaluate_model(
        model,
        data,
        split=split,
        only=only or (),
        metric=metric.value,
        birdseye=birdseye,
        ground_truth=ground_truth.value if ground_truth else None,
        boundary=boundary,
        quick=quick,
        out=out,
        format=format,
        images=images,
        masks=masks,
        device=device,
        engine=engine,
        tta=tta,
        on_note=print_note,
    )
    if not is_first_process():
        return
    scores = evaluation.to_json()
    if json_:
        print_json({"data": str(data), "model": str(model), "split": split, **scores})
        return
    _print(scores, f"{address_of(data) or data} ({split})")
    if out:
        print_lines(f"report   {out / 'report.html'}")


def _print(scores: dict[str, Any], title: str) -> None:
    from atonce.cli.show import print_collapse, print_lines, print_scores, results, score_text

    if "road" in scores:
        results.print(_road_table(scores["road"], title))
        drawn = scores["road"]["as_drawn"]
        recall, fpr = (score_text(drawn[key], 100, 2) for key in ("recall", "fpr"))
        print_collapse(scores)
        print_lines(f"as drawn, road where more likely than not: REC {recall}, FPR {fpr} (in the picture)")
    else:
        print_scores(scores, title)
    if "boundary" in scores:
        within = scores["boundary"]["tolerance_pixels"]
        reach = "0.75 % of the diagonal" if within is None else f"{within:g} {'pixel' if within == 1 else 'pixels'}"
        line = f"boundary F1 {score_text(scores['boundary']['mean_f1'])} (within {reach})"
        if "calibration" in scores:
            line += f", calibration error {score_text(scores['calibration']['expected_calibration_error'])}"
        print_lines(line)


def _road_table(road: dict[str, Any], title: str) -> Any:
    """Build the table as the benchmark's page has it: per cent, and the threshold in 0..1."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from atonce.cli.show import score_text

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
        shares = [score_text(row[key], 100, 2) for key in keys]
        table.add_row(name, str(row["pictures"]), *shares, score_text(row["threshold"], 1, 3))
    return table
