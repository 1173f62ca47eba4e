"""Tiny studies: the command that runs one, and what its folder says before it has run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from atonce.studies import PlannedRun, load_study
from atonce.studies.study_folder import StudyDescription
from tests.tiny import set_options

LONGER = ("train.steps=12", "train.validate_every=4", "train.save_every=2")


def ablate_words(data: Path, study: str, out: Path, *more: str, overrides: tuple[str, ...] = LONGER) -> list[str]:
    """The words behind `atonce`."""
    return ["ablate", str(data), "--study", study, "--out", str(out), *set_options(*overrides), *more]


def ablate_command(data: Path, study: str, out: Path, *more: str, overrides: tuple[str, ...] = LONGER) -> list[str]:
    """The same as a process."""
    return [sys.executable, "-m", "atonce", *ablate_words(data, study, out, *more, overrides=overrides)]


def save_description(planned: Sequence[PlannedRun], name: str, data: Path, out: Path) -> None:
    study = load_study(name)
    seeds = sorted({run.seed for run in planned})
    session = {"command": "atonce ablate & co", "commit": "abc"}
    StudyDescription(
        name=study.name,
        question=study.question,
        data=str(data),
        recipe_name="streets",
        recipe={},
        variants=study.variants,
        seeds=seeds,
        sessions=[session],
    ).save(out)
