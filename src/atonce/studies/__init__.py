"""Studies: variants of a recipe over seeds, compared run by run.

Source of the method: pairs that share seed, data order and augmentation differ by the variant alone, so it is their
differences that are averaged (Student's paired t), not the variants' means that are compared.
"""

from atonce.studies.reuse import take_over
from atonce.studies.run_study import Observer, Planned, carry_out, plan, run_study
from atonce.studies.shipped_studies import STUDIES, Study, load_study
from atonce.studies.study_files import write_study

__all__ = [
    "STUDIES",
    "Observer",
    "Planned",
    "Study",
    "carry_out",
    "load_study",
    "plan",
    "run_study",
    "take_over",
    "write_study",
]
