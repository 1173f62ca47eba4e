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
from atonce.studies.paired_statistics import CONFIDENCE, MeanStd, PairedDifference, mean_and_std, paired_difference
from atonce.studies.study_folder import RunResult, StudyDescription

METRICS = {
    "mean_iou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
    "last_mean_iou": "mean IoU, last step",
}
"""The scores that are compared. The first two are those of the kept model, the best of the run's validations."""

_COSTS = ("minutes", "best_step")
"""Measures that are averaged, too, but not compared."""


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """The numbers of one variant.

    Attributes:
        results: seed -> the result of a run that came to its end.
        failed: seed -> why the run failed.
        planned: the number of runs that the study asks for.
        means: measure -> mean and standard deviation; of METRICS, minutes and best step.
        differences: measure -> difference to the baseline, over the seeds that both have; empty for the baseline.
    """

    variant: str
    overrides: Mapping[str, Any]
    results: Mapping[int, RunResult]
    failed: Mapping[int, str]
    planned: int
    means: Mapping[str, MeanStd | None]
    differences: Mapping[str, PairedDifference | None]

    @property
    def count(self) -> str:
        """The number of runs that the means are over: "3", or "2 of 3"."""
        return f"{len(self.results)} of {self.planned}" if len(self.results) < self.planned else str(self.planned)

    @property
    def runs(self) -> str:
        """The number of runs that the means are over, and why the failed ones failed: "2 of 3; seed 1 failed: ..."."""
        return "; ".join([self.count, *(f"seed {seed} failed: {reason}" for seed, reason in self.failed.items())])


def table_rows(study: StudyDescription, results: Sequence[RunResult]) -> list[TableRow]:
    """Compute one row per variant, the baseline first."""
    done = {v: {r.seed: r for r in results if r.variant == v and r.failed is None} for v in study.variants}
    measures = (*METRICS, *_COSTS)
    rows = []
    for variant, overrides in study.variants.items():
        mine, base = done[variant], done[study.baseline]
        pairs = [(mine[seed], base[seed]) for seed in study.seeds if seed in mine and seed in base]
        rows.append(
            TableRow(
                variant=variant,
                overrides=overrides,
                results=mine,
                failed={r.seed: r.failed for r in results if r.variant == variant and r.failed is not None},
                planned=len(study.seeds),
                means={key: mean_and_std(_finite([getattr(r, key) for r in mine.values()])) for key in measures},
                differences={} if variant == study.baseline else {key: _difference(pairs, key) for key in METRICS},
            )
        )
    return rows


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _difference(pairs: Sequence[tuple[RunResult, RunResult]], key: str) -> PairedDifference | None:
    both = [(getattr(one, key), getattr(other, key)) for one, other in pairs]
    finite = [pair for pair in both if all(map(math.isfinite, pair))]
    return paired_difference([one for one, _ in finite], [other for _, other in finite])


def to_markdown(study: StudyDescription, results: Sequence[RunResult]) -> str:
    """Write the table with what a reader needs to trust it or to repeat it."""
    titles = ["variant", "runs"]
    for title in METRICS.values():
        titles += [title, f"difference to {study.baseline}"]
    titles += ["minutes", "best step"]
    lines = [f"# {study.title}", *([study.question] if study.question else []), ""]
    lines += [f"| {' | '.join(titles)} |", f"|---|---|{'---:|' * (len(titles) - 2)}"]
    for row in table_rows(study, results):
        cells = [row.variant, row.runs]
        for key in METRICS:
            cells += [mean_std_text(row.means[key]), difference_text(row.differences.get(key))]
        cells += [mean_std_text(row.means["minutes"], 1), mean_std_text(row.means["best_step"], 0)]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in reading_notes(study, results)), ""])


def reading_notes(study: StudyDescription, results: Sequence[RunResult]) -> list[str]:
    """Sentences that say how to read the table and where it comes from."""
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
    commits = sorted({r.commit for r in results if r.commit})
    devices = sorted({r.device for r in results})
    prints = sorted({r.fingerprint[:12] for r in results})
    found.append(
        f"Recipe {study.recipe_name}; commit {', '.join(commits) or 'unknown'}; "
        f"device {', '.join(devices) or 'none yet'}; data {study.data}, fingerprint {', '.join(prints) or 'unknown'}."
    )
    crops = {r.variant: f"{r.crop[1]}x{r.crop[0]}" for r in results if r.crop}
    if len(set(crops.values())) > 1:
        told = ", ".join(f"{crop} of '{variant}'" for variant, crop in crops.items())
        found.append(
            f"The variants learned from crops of different sizes: {told}. Crops are no larger than pictures become by "
            "zoom and rotation; a data.crop that all of them fit into is the same for all."
        )
    if len(commits) > 1:
        found.append("The runs are of several commits: compare them with care.")
    return [*found, *(f"Command: `{command}`" for command in dict.fromkeys(s["command"] for s in study.sessions))]


def mean_std_text(value: MeanStd | None, digits: int = 4) -> str:
    """Write mean and standard deviation: "0.4123 ± 0.0045"; the mean alone for one seed, a dash for none."""
    if value is None:
        return "–"
    return f"{value.mean:.{digits}f}" + (f" ± {value.std:.{digits}f}" if value.std is not None else "")


def difference_text(value: PairedDifference | None) -> str:
    """Write a difference and its interval: "+0.0123 [-0.0010, +0.0256]"; no brackets for one pair, a dash for none."""
    if value is None:
        return "–"
    interval = f" [{value.low:+.4f}, {value.high:+.4f}]" if value.low is not None else ""
    return f"{value.mean:+.4f}{interval}"


def to_csv(study: StudyDescription, results: Sequence[RunResult]) -> str:
    """Write one line per variant; numbers only, empty where there is none."""
    stream = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in table_rows(study, results):
        line: dict[str, object] = {"variant": row.variant, "runs": len(row.results), "failed": len(row.failed)}
        for key, value in row.means.items():
            line |= {f"{key}_mean": value and value.mean, f"{key}_std": value and value.std}
        for key in METRICS:
            difference = row.differences.get(key)
            line |= {f"{key}_difference": difference and difference.mean, f"{key}_pairs": difference and difference.n}
            line |= {f"{key}_low": difference and difference.low, f"{key}_high": difference and difference.high}
        writer = writer or csv.DictWriter(stream, list(line), lineterminator="\n")
        if not stream.tell():
            writer.writeheader()
        writer.writerow(line)
    return stream.getvalue()


def to_json(study: StudyDescription, results: Sequence[RunResult]) -> str:
    """Write everything: the study, the table, every run."""
    variants = [
        {
            "variant": row.variant,
            "overrides": row.overrides,
            "failed": row.failed,
            # The keys of the files of today: "spreads" and "deviation" are the means and the standard deviation.
            "spreads": {
                key: value and {"n": value.n, "mean": value.mean, "deviation": value.std}
                for key, value in row.means.items()
            },
            "differences": {key: value and asdict(value) for key, value in row.differences.items()},
        }
        for row in table_rows(study, results)
    ]
    data = {"study": asdict(study), "variants": variants, "runs": [nan_to_none(asdict(r)) for r in results]}
    return json.dumps(data, indent=1)
