"""Studies: variants of a recipe over seeds, compared run by run.

Source of the method: pairs that share seed, data order and augmentation differ by the variant alone, so it is their
differences that are averaged (Student's paired t), not the variants' means that are compared.
"""

from atonce.studies.ablation import StudyResult, ablate
from atonce.studies.reuse import reuse_runs
from atonce.studies.shipped_studies import STUDIES, Study, load_study
from atonce.studies.study_files import write_study_files
from atonce.studies.study_folder import RunResult
from atonce.studies.study_runs import PlannedRun, StudyCallback, execute_run, plan_runs, run_sequentially

__all__ = [
    "STUDIES",
    "PlannedRun",
    "RunResult",
    "Study",
    "StudyCallback",
    "StudyResult",
    "ablate",
    "execute_run",
    "load_study",
    "plan_runs",
    "reuse_runs",
    "run_sequentially",
    "write_study_files",
]
