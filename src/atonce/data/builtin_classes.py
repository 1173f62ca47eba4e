"""The classes that come with a benchmark (CamVid, VOC), and whether a folder of that layout is the benchmark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from atonce.data.classes_file import find_classes_file
from atonce.data.mask_classes import resolve_classes
from atonce.data.mask_probe import PROBE_LIMIT, MaskProbe, probe_masks
from atonce.data.masks import ClassMask
from atonce.errors import option
from atonce.labels import IGNORE_INDEX, LabelSpec

_MOST_CLASSES = 0.75
"""The share of the benchmark's classes that masks must show before its names are given to them."""

_MAX_STRAY = 2
"""The most values of no class that may be mistakes in single masks of the benchmark."""


@dataclass(frozen=True)
class BuiltInClasses:
    """The classes of a benchmark, and how it is told from other data in its layout.

    Attributes:
        name: as people call the benchmark ("CamVid").
        format: the name of its format here, with which a user can insist on it.
        labels, reader: its classes and how its masks are read.
        picture_names: a pattern that the names of its pictures match, and hardly any others.
    """

    name: str
    format: str
    labels: LabelSpec
    reader: ClassMask
    picture_names: str

    def has_names(self, names: Iterable[str]) -> bool:
        """Tell whether pictures are called as the benchmark calls them, most of them at least."""
        matches = [re.fullmatch(self.picture_names, name) is not None for name in names]
        return 2 * sum(matches) > len(matches)

    def fit(self, probe: MaskProbe) -> bool:
        """Tell whether masks show what the benchmark's do: most of its classes, and next to nothing else."""
        numbers = dict(self.reader.values)
        colours = dict(self.reader.colours)
        found = [numbers.get(value) for value in probe.values] + [colours.get(colour) for colour in probe.colours]
        shown = {class_id for class_id in found if class_id not in (None, IGNORE_INDEX)}
        return len(shown) >= _MOST_CLASSES * self.labels.num_classes and found.count(None) <= _MAX_STRAY

    def recognise(self, root: Path, masks: Sequence[Path]) -> bool:
        """Tell whether a data set without a classes file of its own is the benchmark."""
        if find_classes_file(root) is not None:
            return False
        return self.has_names(mask.stem for mask in masks) or self.fit(probe_masks(masks, PROBE_LIMIT))

    def resolve(
        self, root: Path, masks: list[Path], classes: Path | None = None, *, insist: bool
    ) -> tuple[LabelSpec, ClassMask, list[str]]:
        """Find out the classes of masks in the benchmark's layout: labels, mask reader, and notes for the user.

        A classes file in the root counts more than the benchmark's names, which are assumed only where what is found
        fits them.

        Args:
            classes: a classes file elsewhere than in the root.
            insist: the user has said that it is the benchmark.

        Raises:
            DataError: as `resolve_classes`.
        """
        if classes is not None or find_classes_file(root) is not None:
            return resolve_classes(root, masks, classes)
        if self.has_names(mask.stem for mask in masks):
            return self.labels, self.reader, []
        if insist or self.fit(probe_masks(masks, PROBE_LIMIT)):
            said = f"the class names of {self.name} are assumed; {root / 'classes.yaml'} would replace them"
            return self.labels, self.reader, [said]
        labels, reader, notes = resolve_classes(root, masks)
        said = f"in the layout of {self.name}, but not its classes: {option('format', self.format)} would assume them"
        return labels, reader, [*notes, said]
