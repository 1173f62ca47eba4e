"""The parity check: is the exported file the same network? Logits, labels and mean IoU beside torch's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atonce.errors import UserError, option
from atonce.inference.exported_predictor import ExportedPredictor
from atonce.inference.predictor import Predictor
from atonce.metrics.confusion_matrix import ConfusionMatrix
from atonce.text import count_of

ODD_SIZES = ((1, 1), (7, 200), (33, 47), (97, 31), (64, 96), (131, 163))
"""(height, width) of the cuts that are checked beside whole pictures: below, at and between multiples of 32."""


@dataclass(frozen=True)
class Check:
    """A picture to check with.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        mask: uint8 (H, W), 255 is void; None where there is none.
        kind: what it is, in the singular ("validation picture").
        is_cut: whether it is a part of one.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None = None
    kind: str = "picture"
    is_cut: bool = False


@dataclass(frozen=True)
class Limits:
    """The differences from torch that an export may have.

    Attributes:
        logit_difference: the largest, as a share of the largest logit; None does not ask.
        agreement: the least share of pixels with the same label.
        mean_iou_loss: the largest, where there are masks.
    """

    logit_difference: float | None
    agreement: float
    mean_iou_loss: float


# Engines add in another order than torch: their logits agree to about 1e-6, pixels on the edge between two classes
# may go to the other one. Eight bits move more of them; what counts there is the mean IoU.
FLOAT = Limits(logit_difference=1e-4, agreement=0.9995, mean_iou_loss=0.0005)
INT8 = Limits(logit_difference=None, agreement=0.9, mean_iou_loss=0.005)


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The result of a parity check.

    Attributes:
        pictures: the number of pictures that were compared, the cuts counted in.
        cuts: how many of them are parts of odd sizes, cut out of the first.
        kind: what the whole ones are, in the singular.
        logit_difference, largest_logit: absolute values, over all pictures.
        agreement: the share of all pixels with the same label.
        mean_iou: torch's and the export's, of the labelled pictures; None without.
    """

    pictures: int
    cuts: int = 0
    kind: str = "picture"
    logit_difference: float
    largest_logit: float
    agreement: float
    mean_iou: tuple[float, float] | None

    def violations(self, limits: Limits) -> list[str]:
        """Say what is out of bounds, and by how much; nothing where all is well."""
        found = []
        share = self.logit_difference / max(self.largest_logit, 1e-6)
        # Written so that NaN is out of bounds.
        if limits.logit_difference is not None and not share <= limits.logit_difference:
            found.append(
                f"logits differ by {self.logit_difference:.3g}, {share:.2g} of the largest "
                f"(limit {limits.logit_difference:g})"
            )
        if not self.agreement >= limits.agreement:
            found.append(f"{self.agreement:.3%} of the labels agree (limit {limits.agreement:.3%})")
        if self.mean_iou and not self.mean_iou[0] - self.mean_iou[1] <= limits.mean_iou_loss:
            before, after = self.mean_iou
            found.append(f"mean IoU falls from {before:.4f} to {after:.4f} (limit {limits.mean_iou_loss:g})")
        return found

    def summary(self) -> str:
        """Say in one line how far the export differs."""
        what = count_of(self.pictures - self.cuts, self.kind)
        if self.cuts:
            what += f" and {count_of(self.cuts, 'cut')} of odd sizes out of the first"
        line = (
            f"{what}: {self.agreement:.4%} of the labels agree with torch's; the class "
            f"scores behind them (logits, up to {self.largest_logit:.3g}) differ by at most {self.logit_difference:.3g}"
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
    exported: Sequence[ExportedPredictor],
    checks: Iterable[Check],
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Parity]:
    """Run torch and an exported file over pictures.

    Args:
        reference: the network in torch, on the CPU.
        exported: the file, loaded with `logits=True`: in one engine, or in several.
        progress: called with the number of checks done.

    Returns:
        What each of them came to, in their order.
    """
    gaps = [_Gap(reference.labels.num_classes) for _ in exported]
    for done, check in enumerate(checks, 1):
        logits = reference.logits(check.image).numpy()
        for gap, predictor in zip(gaps, exported, strict=True):
            gap.add(check, logits, predictor.outputs(check.image))
        if progress:
            progress(done)
    return [gap.parity() for gap in gaps]


class _Gap:
    """Differences between two networks, added up over pictures."""

    def __init__(self, classes: int) -> None:
        self._before, self._after = ConfusionMatrix(classes), ConfusionMatrix(classes)
        self._difference = self._largest = 0.0
        self._pictures = self._cuts = self._pixels = self._equal = self._labelled = 0
        self._kind = "picture"

    def add(self, check: Check, logits: NDArray[np.float32], found: Mapping[str, NDArray[Any]]) -> None:
        """Add a picture: torch's logits float32 (C, H, W), and an exported file's outputs."""
        labels = logits.argmax(0).astype(np.uint8)
        gap = np.abs(found["logits"] - logits).max()
        # np.maximum keeps NaN, max() may not.
        self._difference = float(np.maximum(self._difference, gap))
        self._largest = max(self._largest, float(np.abs(logits).max()))
        self._pictures, self._pixels = self._pictures + 1, self._pixels + labels.size
        self._cuts, self._kind = self._cuts + check.is_cut, check.kind
        self._equal += int((found["labels"] == labels).sum())
        if check.mask is not None:
            self._labelled += 1
            self._before.add(check.mask, labels)
            self._after.add(check.mask, found["labels"])

    def parity(self) -> Parity:
        """Return what it came to."""
        return Parity(
            pictures=self._pictures,
            cuts=self._cuts,
            kind=self._kind,
            logit_difference=self._difference,
            largest_logit=self._largest,
            agreement=self._equal / max(self._pixels, 1),
            mean_iou=(self._before.mean_iou, self._after.mean_iou) if self._labelled else None,
        )


def require_parity(parity: Parity, *, int8: bool) -> None:
    """Refuse an export that differs by more than FLOAT or INT8 allow.

    Raises:
        ParityError: a float32 export does; the message says what is out of bounds and by how much.
        AccuracyError: an INT8 export does.
    """
    violations = parity.violations(INT8 if int8 else FLOAT)
    if violations and int8:
        remedy = f"calibrate with more and more typical pictures, or leave out {option('int8', value=True)}"
        raise AccuracyError(f"INT8 loses too much: {'; '.join(violations)}", remedy=remedy)
    if violations:
        raise ParityError(f"the exported graph is not the network: {'; '.join(violations)}")
