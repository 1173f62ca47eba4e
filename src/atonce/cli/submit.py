"""atonce submit"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from atonce.cli.app import app
from atonce.cli.options import Device, Json, Model, Quiet, Truth, out_option


@app.command()
def submit(
    model: Model,
    data: Annotated[Path, typer.Argument(help="data_road/testing of the KITTI road benchmark, or data_road.")],
    out: Annotated[Path, out_option("The zip to write.")] = Path("submission.zip"),
    ground_truth: Truth = None,
    device: Device = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write what the KITTI road benchmark takes: confidences of road seen from above, one PNG a picture, in a zip."""
    from atonce.data.formats import require_folder
    from atonce.model_location import require_model_file, require_model_first

    # What is mistyped is said here, before the seconds that importing torch takes.
    require_model_first(model, [data], "submit")
    require_model_file(model)
    require_folder(data)
    from atonce.cli.show import print_json, print_lines, print_note
    from atonce.evaluation import submit as write_submission
    from atonce.text import count_of, listing

    truth: Literal["road", "lane"] | None = ground_truth.value if ground_truth else None
    done = write_submission(model, data, out=out, ground_truth=truth, device=device)
    if done.missing:
        print_note(
            f"incomplete: {done.missing} of the benchmark's {done.all} testing pictures for {done.kind} are not in it"
        )
    if json_:
        print_json({"path": str(out), **done.to_json()})
        return
    if done.left_out:
        print_lines(f"not part of um_{done.kind}, left out: {len(done.left_out)} ({listing(done.left_out)})")
    print_lines(f"{count_of(len(done.entries), 'view')} from above ({done.kind}): {out}")
