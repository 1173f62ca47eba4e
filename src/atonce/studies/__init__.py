"""Studies: variants of a recipe over seeds, compared run by run.

Source of the method: pairs that share seed, data order and augmentation differ by the variant alone, so it is their
differences that are averaged (Student's paired t), not the variants' means that are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atonce.lazy_names import lazy_names

if TYPE_CHECKING:
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

_MODULES = {
    "STUDIES": "atonce.studies.shipped_studies",
    "PlannedRun": "atonce.studies.study_runs",
    "RunResult": "atonce.studies.study_folder",
    "Study": "atonce.studies.shipped_studies",
    "StudyCallback": "atonce.studies.study_runs",
    "StudyResult": "atonce.studies.ablation",
    "ablate": "atonce.studies.ablation",
    "execute_run": "atonce.studies.study_runs",
    "load_study": "atonce.studies.shipped_studies",
    "plan_runs": "atonce.studies.study_runs",
    "reuse_runs": "atonce.studies.reuse",
    "run_sequentially": "atonce.studies.study_runs",
    "write_study_files": "atonce.studies.study_files",
}

# Names load with their first use: a shell that completes the names of studies does not wait for torch.
__getattr__ = lazy_names(__name__, _MODULES)
