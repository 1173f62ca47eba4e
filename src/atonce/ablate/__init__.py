"""Studies: variants of a recipe over seeds, compared run by run.

Source of the method: pairs that share seed, data order and augmentation differ by the variant alone, so it is their
differences that are averaged (Student's paired t), not the variants' means that are compared.
"""

from atonce.ablate.report import write_study
from atonce.ablate.reuse import take_over
from atonce.ablate.run import Observer, Planned, carry_out, plan, run_study
from atonce.ablate.studies import STUDIES, Study, load_study

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
