"""The examination of a data set: what is in it, what is wrong with it, what to do.

>>> from atonce.doctor import examine
>>> examination = examine("data")
>>> examination.wrong, examination.findings, examination.class_weights()

Everything is read; nothing is written but what is asked for: `write_classes_file`, `write_fixed_masks`, `write_split`,
`write_page`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atonce.doctor.examination import Examination, examine
from atonce.doctor.findings import AffectedFile, Finding
from atonce.doctor.fix_classes import write_classes_file
from atonce.doctor.fix_masks import FixedMasks, write_fixed_masks
from atonce.doctor.split_proposal import write_split
from atonce.doctor.write_masks import WrittenMasks, write_masks
from atonce.lazy_names import lazy_names

if TYPE_CHECKING:
    from atonce.doctor.doctor_page import write_page

__all__ = [
    "AffectedFile",
    "Examination",
    "Finding",
    "FixedMasks",
    "WrittenMasks",
    "examine",
    "write_classes_file",
    "write_fixed_masks",
    "write_masks",
    "write_page",
    "write_split",
]

# The page needs torch and matplotlib, which an examination does not wait for.
__getattr__ = lazy_names(__name__, {"write_page": "atonce.doctor.doctor_page"})
