"""The table of a study: means over seeds, and paired differences to the baseline; as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from atonce.storage import nan_to_none
from atonce.studies.paired_statistics import CONFIDENCE, Difference, Spread, paired_difference, spread
from atonce.studies.records import Description, Record

METRICS = {
    "mean_iou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
    "last_mean_iou": "mean IoU, last step",
}
"""What is compared. The first two are those of the kept model, the best of the run's validations."""
_ALSO = ("minutes", "best_step")


@dataclass(frozen=True)
class Row:
    """A variant.

    Attributes:
        records: the runs that came to their end, by seed.
        failed: seed -> why.
        planned: runs that the study asks for.
        spreads: of each measure, and of minutes and best step.
        differences: of each measure, to the baseline; over the seeds that both have.
    """

    variant: str
    overrides: Mapping[str, Any]
    records: Mapping[int, Record]
    failed: Mapping[int, str]
    planned: int
    spreads: Mapping[str, Spread | None]
    differences: Mapping[str, Difference | None]

    @property
    def runs(self) -> str:
        """How many of the planned runs the numbers are of, and what became of the others."""
        told = [f"{len(self.records)} of {self.planned}" if len(self.records) < self.planned else str(self.planned)]
        told += [f"seed {seed} failed: {reason}" for seed, reason in self.failed.items()]
        return "; ".join(told)


def rows_of(study: Description, records: Sequence[Record]) -> list[Row]:
    """One per variant, the baseline first."""
    done = {v: {r.seed: r for r in records if r.variant == v and r.failed is None} for v in study.variants}
    rows = []
    for variant, overrides in study.variants.items():
        mine, base = done[variant], done[study.baseline]
        pairs = [(mine[seed], base[seed]) for seed in study.seeds if seed in mine and seed in base]
        rows.append(
            Row(
                variant,
                overrides,
                mine,
                {r.seed: r.failed for r in records if r.variant == variant and r.failed is not None},
                len(study.seeds),
                {key: spread(_known([getattr(r, key) for r in mine.values()])) for key in (*METRICS, *_ALSO)},
                {} if variant == study.baseline else {key: _difference(pairs, key) for key in METRICS},
            )
        )
    return rows


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _difference(pairs: Sequence[tuple[Record, Record]], key: str) -> Difference | None:
    both = [(getattr(one, key), getattr(other, key)) for one, other in pairs]
    known = [pair for pair in both if all(map(math.isfinite, pair))]
    return paired_difference([one for one, _ in known], [other for _, other in known])


def to_markdown(study: Description, records: Sequence[Record]) -> str:
    """The table with what a reader needs to trust it or to repeat it."""
    titles = ["variant", "runs"]
    for title in METRICS.values():
        titles += [title, f"difference to {study.baseline}"]
    titles += ["minutes", "best step"]
    lines = [f"# {study.title}", *([study.question] if study.question else []), ""]
    lines += [f"| {' | '.join(titles)} |", f"|---|---|{'---:|' * (len(titles) - 2)}"]
    for row in rows_of(study, records):
        cells = [row.variant, row.runs]
        for key in METRICS:
            cells += [spread_text(row.spreads[key]), difference_text(row.differences.get(key))]
        cells += [spread_text(row.spreads["minutes"], 1), spread_text(row.spreads["best_step"], 0)]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(study, records)), ""])


def notes(study: Description, records: Sequence[Record]) -> list[str]:
    """How to read the table and where it comes from, a sentence or two each."""
    seeds = ", ".join(map(str, study.seeds))
    single = len(study.seeds) < 2
    found = [
        f"Seeds {seeds}: the runs of a seed share initialisation, data order and augmentation. Mean ± sample standard "
        "deviation over them.",
        "One seed: nothing is said of how sure a difference is. Three or more give an interval."
        if single
        else f"Differences are means over pairs of the same seed, in brackets their {CONFIDENCE:.0%} confidence "
        "interval (Student's t over the seeds). An interval that holds 0 tells no difference.",
        "Mean IoU and pixel accuracy are those of the kept model, the best of the run's validations on the split they "
        "are measured on; the last step's are not chosen.",
    ]
    if minutes := study.recipe.get("train", {}).get("max_minutes"):
        found.append(f"Runs that take longer than {minutes:g} minutes end then: equal time, not equal steps.")
    commits = sorted({r.commit for r in records if r.commit})
    devices = sorted({r.device for r in records})
    prints = sorted({r.fingerprint[:12] for r in records})
    found.append(
        f"Recipe {study.recipe_name}; commit {', '.join(commits) or 'unknown'}; "
        f"device {', '.join(devices) or 'none yet'}; data {study.data}, fingerprint {', '.join(prints) or 'unknown'}."
    )
    if len(commits) > 1:
        found.append("The runs are of several commits: compare them with care.")
    return [*found, *(f"Command: `{command}`" for command in dict.fromkeys(s["command"] for s in study.sessions))]


def spread_text(value: Spread | None, digits: int = 4) -> str:
    """0.4123 ± 0.0045; without a deviation for one seed; a dash for none."""
    if value is None:
        return "–"
    return f"{value.mean:.{digits}f}" + (f" ± {value.deviation:.{digits}f}" if value.deviation is not None else "")


def difference_text(value: Difference | None) -> str:
    """+0.0123 [-0.0010, +0.0256]; without brackets for one pair; a dash for none."""
    if value is None:
        return "–"
    interval = f" [{value.low:+.4f}, {value.high:+.4f}]" if value.low is not None else ""
    return f"{value.mean:+.4f}{interval}"


def to_csv(study: Description, records: Sequence[Record]) -> str:
    """One line per variant; numbers only, empty where there is none."""
    stream = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows_of(study, records):
        line: dict[str, object] = {"variant": row.variant, "runs": len(row.records), "failed": len(row.failed)}
        for key, value in row.spreads.items():
            line |= {f"{key}_mean": value and value.mean, f"{key}_std": value and value.deviation}
        for key in METRICS:
            between = row.differences.get(key)
            line |= {f"{key}_difference": between and between.mean, f"{key}_pairs": between and between.n}
            line |= {f"{key}_low": between and between.low, f"{key}_high": between and between.high}
        writer = writer or csv.DictWriter(stream, list(line), lineterminator="\n")
        if not stream.tell():
            writer.writeheader()
        writer.writerow(line)
    return stream.getvalue()


def to_json(study: Description, records: Sequence[Record]) -> str:
    """Everything: the study, the table, every run."""
    variants = []
    for row in rows_of(study, records):
        told = asdict(row)
        variants.append({key: told[key] for key in ("variant", "overrides", "failed", "spreads", "differences")})
    data = {"study": asdict(study), "variants": variants, "runs": [nan_to_none(asdict(r)) for r in records]}
    return json.dumps(data, indent=1)
