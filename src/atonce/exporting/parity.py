"""Is the exported file the same network? Logits, labels and mean IoU beside torch's, picture by picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atonce.errors import UserError, option
from atonce.exporting.graph_files import Target
from atonce.inference.exported_predictor import ExportedPredictor
from atonce.inference.predictor import Predictor
from atonce.metrics.confusion_matrix import ConfusionMatrix

ODD_SIZES = ((1, 1), (7, 200), (33, 47), (97, 31), (64, 96), (131, 163))
"""(height, width) of the cuts that are checked beside whole pictures: below, at and between multiples of 32."""


@dataclass(frozen=True)
class Check:
    """A picture uint8 (H, W, 3), and its mask (H, W) where there is one."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Limits:
    """What an export may differ by.

    Attributes:
        logits: largest difference, as a share of the largest logit; None does not ask.
        labels: least share of pixels with the same label.
        mean_iou: largest loss, where there are masks.
    """

    logits: float | None
    labels: float
    mean_iou: float


# Engines add in another order than torch: their logits agree to about 1e-6, pixels on the edge between two classes
# may go to the other one. Eight bits move more of them; what counts there is the mean IoU.
FLOAT = Limits(logits=1e-4, labels=0.9995, mean_iou=0.0005)
INT8 = Limits(logits=None, labels=0.9, mean_iou=0.005)


@dataclass(frozen=True)
class Parity:
    """What was found.

    Attributes:
        logit_difference, largest_logit: over all pictures.
        agreement: share of all pixels with the same label.
        mean_iou: torch's and the export's, of the labelled pictures; None without.
    """

    pictures: int
    logit_difference: float
    largest_logit: float
    agreement: float
    mean_iou: tuple[float, float] | None

    def complaints(self, limits: Limits) -> list[str]:
        """What is out of bounds, and by how much."""
        found = []
        share = self.logit_difference / max(self.largest_logit, 1e-6)
        # Written so that NaN is out of bounds.
        if limits.logits is not None and not share <= limits.logits:
            found.append(
                f"logits differ by {self.logit_difference:.3g}, {share:.2g} of the largest (limit {limits.logits:g})"
            )
        if not self.agreement >= limits.labels:
            found.append(f"{self.agreement:.3%} of the labels agree (limit {limits.labels:.3%})")
        if self.mean_iou and not self.mean_iou[0] - self.mean_iou[1] <= limits.mean_iou:
            before, after = self.mean_iou
            found.append(f"mean IoU falls from {before:.4f} to {after:.4f} (limit {limits.mean_iou:g})")
        return found

    def summary(self) -> str:
        """One line."""
        line = (
            f"{self.pictures} pictures: logits differ by at most {self.logit_difference:.3g} "
            f"(largest {self.largest_logit:.3g}), {self.agreement:.4%} of the labels agree"
        )
        if self.mean_iou:
            line += f", mean IoU {self.mean_iou[0]:.4f} with torch and {self.mean_iou[1]:.4f} exported"
        return line


class ParityError(RuntimeError):
    """A float32 export that is not the same network: a fault of atonce or of an engine."""


class AccuracyError(UserError):
    """An INT8 export that lost more than is allowed."""


def compare(
    reference: Predictor,
    path: Path,
    target: Target,
    checks: Iterable[Check],
    progress: Callable[[int], None] | None = None,
) -> Parity:
    """Run torch and the exported file over pictures.

    Args:
        progress: called with the number of checks done.
    """
    exported = ExportedPredictor(path, engine=target.engine, logits=True)
    classes = reference.labels.num_classes
    before, after = ConfusionMatrix(classes), ConfusionMatrix(classes)
    difference = largest = 0.0
    pictures = pixels = equal = labelled = 0
    for done, check in enumerate(checks, 1):
        logits = reference.logits(check.image).numpy()
        labels = logits.argmax(0).astype(np.uint8)
        found = exported.outputs(check.image)
        gap = np.abs(found["logits"] - logits).max()
        # np.maximum keeps NaN, max() may not.
        difference, largest = float(np.maximum(difference, gap)), max(largest, float(np.abs(logits).max()))
        pixels, equal = pixels + labels.size, equal + int((found["labels"] == labels).sum())
        pictures = done
        if check.mask is not None:
            labelled += 1
            before.add(check.mask, labels)
            after.add(check.mask, found["labels"])
        if progress:
            progress(done)
    scores = (before.mean_iou, after.mean_iou) if labelled else None
    return Parity(pictures, difference, largest, equal / max(pixels, 1), scores)


def require_parity(parity: Parity, int8: bool) -> None:
    """Raises ParityError (float32) or AccuracyError (INT8), saying what is out of bounds and by how much."""
    complaints = parity.complaints(INT8 if int8 else FLOAT)
    if complaints and int8:
        remedy = f"calibrate with more and more typical pictures, or leave out {option('int8', True)}"
        raise AccuracyError(f"INT8 loses too much: {'; '.join(complaints)}", remedy=remedy)
    if complaints:
        raise ParityError(f"the exported graph is not the network: {'; '.join(complaints)}")
