"""The examination: open, read everything once, compare, and put together what was found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atonce.data.checks import CheckReport, check
from atonce.data.class_statistics import DataStatistics
from atonce.data.dataset import Dataset
from atonce.data.formats import ClassesNeeded, open_dataset
from atonce.data.open_options import GroundTruth
from atonce.doctor.class_balance import balance
from atonce.doctor.copies import Pairs, copies, find_pairs, near_copies
from atonce.doctor.findings import Finding, Severity, by_severity, from_problems
from atonce.doctor.observations import Looker, Record
from atonce.doctor.odd_files import all_unknown, odd_masks, odd_pictures, unknown_values, with_causes
from atonce.doctor.remedies import classes_file
from atonce.errors import DataError, option

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Examination:
    """Everything the doctor knows.

    Attributes:
        root: the folder that was examined.
        dataset: None where it could not be opened; then only `findings` and `classes_yaml` tell something.
        findings: errors first.
        statistics: per split, of the masks that can be read.
        records: per split, what was kept of each picture and mask.
        pairs: which pictures are the same, or nearly.
        classes_yaml: a classes file with all classes, values and colours found; empty where nothing is known.
        seconds: how long it took.
    """

    root: Path
    dataset: Dataset | None
    findings: tuple[Finding, ...]
    statistics: Mapping[str, DataStatistics] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)
    pairs: Pairs | None = None
    classes_yaml: str = ""
    seconds: float = 0.0

    def count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def wrong(self) -> bool:
        """Whether training would be wrong, or would not start."""
        return self.count("error") > 0


def examine(
    root: Path,
    format: str | None = None,
    *,
    ground_truth: GroundTruth | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Examination:
    """Read all pictures and masks of all splits, "test" included.

    Of a data set of N pictures about a kilobyte each is kept (names, hashes), never the pixels. A folder that
    cannot be opened as a data set is an examination with one error.

    Args:
        root, format, ground_truth: as in `open_dataset`.
        workers, progress: as in `check`.

    Raises:
        DataError: there is no such folder.
    """
    began = time.perf_counter()
    try:
        dataset = open_dataset(root, format, ground_truth=ground_truth)
    except ClassesNeeded as error:
        remedy = f"{error.remedy}; {option('fix_classes')} writes it" if error.proposal else error.remedy
        finding = Finding("error", "classes", _sentence(error), remedy)
        return Examination(root, None, (finding,), classes_yaml=error.proposal, seconds=time.perf_counter() - began)
    except DataError as error:
        if not root.is_dir():
            raise
        finding = Finding("error", "layout", _sentence(error), error.remedy)
        return Examination(root, None, (finding,), seconds=time.perf_counter() - began)
    looker = Looker(dataset.read_mask)
    report = check(dataset, _SPLITS, workers=workers, progress=progress, inspector=looker)
    pairs = find_pairs(looker.records)
    return Examination(
        dataset.root,
        dataset,
        _findings(dataset, report, looker.records, pairs),
        report.statistics,
        looker.records,
        pairs,
        classes_file(dataset, all_unknown(looker.records, dataset.labels), _masks_are_coloured(looker.records)),
        time.perf_counter() - began,
    )


def _sentence(error: DataError) -> str:
    return f"{error.found}; expected {error.expected}" if error.expected else error.found


def _findings(
    dataset: Dataset, report: CheckReport, records: Mapping[str, Record], pairs: Pairs
) -> tuple[Finding, ...]:
    return by_severity(
        [
            *from_problems(with_causes(report.problems, records, dataset.labels)),
            *unknown_values(records, dataset.labels),
            *odd_masks(records, dataset),
            *copies(pairs),
            *near_copies(pairs),
            *odd_pictures(records),
            *balance(dataset, report.statistics),
        ]
    )


def _masks_are_coloured(records: Mapping[str, Record]) -> bool:
    modes = [look.mask.mode for record in records.values() for look in record.looks if look.mask is not None]
    return any(mode.startswith("RGB") for mode in modes)


def to_json(examination: Examination) -> dict[str, Any]:
    """For machines; docs/doctor.md tells the keys, and they stay."""
    dataset = examination.dataset
    labels = dataset.labels if dataset else None
    return {
        "data": str(examination.root),
        "format": dataset.format if dataset else None,
        "training_would_be_wrong": examination.wrong,
        "counts": {severity: examination.count(severity) for severity in ("error", "warning", "note")},
        "findings": [finding.to_json(examination.root) for finding in examination.findings],
        "classes": [
            {"id": i, "name": name, "colour": list(colour)}
            for i, (name, colour) in enumerate(zip(labels.names, labels.palette, strict=True) if labels else ())
        ],
        "splits": {split: _split_json(examination, split) for split in examination.statistics},
        "classes_yaml": examination.classes_yaml,
        "seconds": round(examination.seconds, 2),
    }


def _split_json(examination: Examination, split: str) -> dict[str, Any]:
    statistics, record = examination.statistics[split], examination.records.get(split, Record())
    assert examination.dataset is not None
    names = examination.dataset.labels.names
    shares = statistics.share.tolist()
    return {
        "pictures": statistics.pictures,
        "masks": statistics.masks,
        "void_share": statistics.void_share if statistics.masks else None,
        "sizes": [
            {"width": width, "height": height, "pictures": count}
            for (width, height), count in sorted(statistics.sizes.items())
        ],
        **record.modes(),
        "classes": [
            {
                "name": name,
                "pixels": int(statistics.pixel_count[i]),
                "share": shares[i] if statistics.pixel_count.any() else None,
                "pictures": int(statistics.pictures_with_class[i]),
            }
            for i, name in enumerate(names)
        ],
    }
