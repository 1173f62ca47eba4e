"""Studies: variants of a recipe over seeds, compared run by run.

Source of the method: pairs that share seed, data order and augmentation differ by the variant alone, so it is their
differences that are averaged (Student's paired t), not the variants' means that are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    "STUDIES": "shipped_studies",
    "PlannedRun": "study_runs",
    "RunResult": "study_folder",
    "Study": "shipped_studies",
    "StudyCallback": "study_runs",
    "StudyResult": "ablation",
    "ablate": "ablation",
    "execute_run": "study_runs",
    "load_study": "shipped_studies",
    "plan_runs": "study_runs",
    "reuse_runs": "reuse",
    "run_sequentially": "study_runs",
    "write_study_files": "study_files",
}


def __getattr__(name: str) -> Any:
    # Names load with their first use: a shell that completes the names of studies does not wait for torch.
    if name not in _MODULES:
        raise AttributeError(f"module 'atonce.studies' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"atonce.studies.{_MODULES[name]}"), name)
