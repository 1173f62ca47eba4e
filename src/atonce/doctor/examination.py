"""The examination of a data set: open it, read everything once, compare, and put together what was found."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atonce.data.checks import CheckReport, check
from atonce.data.class_statistics import DataStatistics
from atonce.data.dataset import Dataset
from atonce.data.formats import ClassesNeeded, open_dataset
from atonce.data.images import Bands
from atonce.data.open_options import GroundTruth
from atonce.doctor.classes_proposal import classes_proposal
from atonce.doctor.duplicate_findings import (
    SimilarImages,
    duplicate_findings,
    find_similar_images,
    near_duplicate_findings,
)
from atonce.doctor.file_findings import (
    border_rule,
    image_findings,
    mask_findings,
    unknown_value_findings,
    unnamed_values,
)
from atonce.doctor.findings import (
    SEVERITIES,
    Finding,
    Severity,
    found_and_expected,
    from_problems,
    sort_by_severity,
)
from atonce.doctor.kitti_road_findings import kitti_road_findings
from atonce.doctor.observations import ObservationRecorder, Observations, SplitObservations, all_masks
from atonce.doctor.soft_mask_findings import soft_mask_findings
from atonce.doctor.statistics_findings import statistics_findings
from atonce.errors import DataError, DataErrorOfLines, as_command_line, one_line, option
from atonce.progress import ProgressCallback
from atonce.recipes.schema import LossConfig
from atonce.remote import local_copy

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The result of an examination.

    Attributes:
        root: the folder that was examined.
        dataset: None where it could not be opened; then only `findings` and `classes_yaml` tell something.
        findings: errors first.
        statistics: split -> counts over the masks that can be read.
        observations: split -> what was kept of each image and mask.
        similar_images: the images that are the same, or nearly; None where the data set could not be opened.
        classes_yaml: a classes file with all classes, values and colours found; empty where nothing is known.
        seconds: the time that it took.
    """

    root: Path
    dataset: Dataset | None
    findings: tuple[Finding, ...]
    statistics: Mapping[str, DataStatistics] = field(default_factory=dict)
    observations: Observations = field(default_factory=dict)
    similar_images: SimilarImages | None = None
    classes_yaml: str = ""
    seconds: float = 0.0

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def wrong(self) -> bool:
        """True when training would be wrong, or would not start."""
        return self.count("error") > 0

    @property
    def wrong_beside_masks(self) -> bool:
        """True when training would be wrong even with masks whose values are all classes' or void."""
        of_masks = {"values", "unknown-values", "classes"}
        if self.dataset is not None and all(
            any(item.mask is not None for item in self.dataset.splits.get(split, ())) for split in ("train", "val")
        ):
            of_masks.add("split")  # no mask of the split could be read
        return any(finding.severity == "error" and finding.kind not in of_masks for finding in self.findings)

    def class_weights(self) -> dict[str, list[float]]:
        """Compute class weights by both rules of the recipe, as training computes them, from the same counts.

        Returns:
            "median-frequency" and "sqrt-median-frequency" -> the weight of each class, in the order of the ids, to four
            digits; empty where no training mask has a labelled pixel.
        """
        # Loads torch, which an examination does without.
        from atonce.data.class_weights import class_weights

        train = self.statistics.get("train")
        if train is None or not train.pixel_count.any():
            return {}
        found: dict[str, list[float]] = {}
        for rule in ("median-frequency", "sqrt-median-frequency"):
            config = LossConfig.model_validate({"class_weights": rule})
            weights = class_weights(config, train.pixel_count, train.pixels_of_pictures_with_class)
            assert weights is not None
            found[rule] = [float(f"{weight:.4g}") for weight in weights.tolist()]
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the examination for machines; the page "atonce doctor" explains the keys, and they stay."""
        labels = self.dataset.labels if self.dataset else None
        return {
            "data": str(self.root),
            "format": self.dataset.format if self.dataset else None,
            "training_would_be_wrong": self.wrong,
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "findings": [finding.to_json(self.root) for finding in self.findings],
            "classes": [
                {"id": i, "name": name, "colour": list(colour)}
                for i, (name, colour) in enumerate(zip(labels.names, labels.palette, strict=True) if labels else ())
            ],
            "splits": {split: self._split_to_json(split) for split in self.statistics},
            "classes_yaml": self.classes_yaml,
            "seconds": round(self.seconds, 2),
            "class_weights": self.class_weights(),
        }

    def _split_to_json(self, split: str) -> dict[str, Any]:
        statistics, observed = self.statistics[split], self.observations.get(split, SplitObservations())
        assert self.dataset is not None
        shares = statistics.share.tolist()
        return {
            "pictures": statistics.pictures,
            "masks": statistics.masks,
            "void_share": statistics.void_share if statistics.masks else None,
            "sizes": [
                {"width": width, "height": height, "pictures": count}
                for (width, height), count in sorted(statistics.sizes.items())
            ],
            **observed.modes(),
            "classes": [
                {
                    "name": name,
                    "pixels": int(statistics.pixel_count[i]),
                    "share": shares[i] if statistics.pixel_count.any() else None,
                    "pictures": int(statistics.pictures_with_class[i]),
                }
                for i, name in enumerate(self.dataset.labels.names)
            ],
        }


def class_weights_override(weights: Sequence[float]) -> str:
    """Write class weights as an override of a recipe, for the command line."""
    return as_command_line(option("set", f"loss.class_weights=[{','.join(f'{weight:g}' for weight in weights)}]"))


def examine(
    root: str | Path,
    format: str | None = None,
    *,
    ground_truth: GroundTruth | None = None,
    bands: Bands | None = None,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    seed: int = 0,
    val_fraction: float = 0.2,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> Examination:
    """Read all images and masks of all splits, "test" included, and find what is wrong with them.

    Of a data set of N images about a kilobyte each is kept (names, hashes), never the pixels. A folder that
    cannot be opened as a data set is an examination with one error.

    Args:
        root, format, ground_truth, bands, images, masks, seed, val_fraction: as in `open_dataset`.
        workers, progress: as in `check`.

    Raises:
        DataError: there is no such folder.
    """
    root = local_copy(root)
    began = time.perf_counter()
    try:
        dataset = open_dataset(
            root,
            format,
            ground_truth=ground_truth,
            seed=seed,
            val_fraction=val_fraction,
            bands=bands,
            images=images,
            masks=masks,
        )
    except ClassesNeeded as error:
        found, expected, remedy = error.parts
        finding = Finding("error", "classes", found_and_expected(found, expected), remedy)
        return Examination(
            root=root,
            dataset=None,
            findings=(finding,),
            classes_yaml=error.proposal,
            seconds=time.perf_counter() - began,
        )
    except DataError as error:
        if not root.is_dir():
            raise
        parts = error.parts if isinstance(error, DataErrorOfLines) else tuple(map(one_line, error.parts))
        finding = Finding("error", "layout", found_and_expected(*parts[:2]), parts[2])
        return Examination(root=root, dataset=None, findings=(finding,), seconds=time.perf_counter() - began)
    recorder = ObservationRecorder(dataset.read_mask)
    report = check(dataset, _SPLITS, workers=workers, progress=progress, inspector=recorder)
    observations = recorder.splits
    similar = find_similar_images(observations)
    coloured = any(mask.mode.startswith("RGB") for _, mask in all_masks(observations))
    return Examination(
        root=dataset.root,
        dataset=dataset,
        findings=_findings(dataset, report, observations, similar),
        statistics=report.statistics,
        observations=observations,
        similar_images=similar,
        classes_yaml=classes_proposal(
            dataset, unnamed_values(observations), by_colour=coloured, rule=border_rule(observations, dataset)
        ),
        seconds=time.perf_counter() - began,
    )


def _findings(
    dataset: Dataset, report: CheckReport, observations: Observations, similar: SimilarImages
) -> tuple[Finding, ...]:
    return sort_by_severity(
        [
            *from_problems(report.problems),
            *unknown_value_findings(observations),
            *mask_findings(observations, dataset),
            *soft_mask_findings(dataset),
            *duplicate_findings(similar),
            *near_duplicate_findings(similar),
            *image_findings(observations),
            *statistics_findings(dataset, report.statistics),
            *kitti_road_findings(dataset),
        ]
    )
