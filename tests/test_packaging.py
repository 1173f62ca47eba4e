"""What pyproject.toml and the workflows promise to installers: one range for a package, nobody else's package, no index."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "pyproject.toml", *sorted((ROOT / "models").glob("*/pyproject.toml"))]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def project(file: Path) -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    read: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    return read


def name_and_range(requirement: str) -> tuple[str, str]:
    match = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?(.*)", requirement)
    assert match, requirement
    return match[1], match[2]


def test_a_package_has_one_range_wherever_it_is_required() -> None:
    ranges: dict[str, set[str]] = {}
    for file in PACKAGES:
        read = project(file)
        extras = read["project"].get("optional-dependencies", {}).values()
        for requirements in (read["build-system"]["requires"], read["project"]["dependencies"], *extras):
            for name, wanted in map(name_and_range, requirements):
                ranges.setdefault(name, set()).add(wanted)
    assert "hatchling" in ranges and "torch" in ranges
    assert {name: found for name, found in ranges.items() if len(found) > 1} == {}


def test_an_extra_repeats_nothing_that_comes_with_it() -> None:
    read = project(ROOT / "pyproject.toml")["project"]
    extras = read["optional-dependencies"]
    names = {extra: {name_and_range(text)[0] for text in packages} for extra, packages in extras.items()}
    always = {name_and_range(text)[0] for text in read["dependencies"]}
    (whole,) = (text for text in extras["dev"] if text.startswith("atonce["))
    within = set(whole.removeprefix("atonce[").removesuffix("]").split(","))
    assert {extra: found & always for extra, found in names.items() if found & always} == {}
    assert {extra: names[extra] & names["dev"] for extra in within if names[extra] & names["dev"]} == {}


@pytest.mark.parametrize("file", PACKAGES[1:], ids=lambda file: file.parent.name)
def test_the_package_of_a_model_makes_no_installer_look_for_the_name_atonce(file: Path) -> None:
    assert not [text for text in project(file)["project"]["dependencies"] if name_and_range(text)[0] == "atonce"]


def test_nothing_is_published_on_an_index_as_long_as_the_pages_say_so() -> None:
    page = (ROOT / "docs" / "five-minutes.md").read_text("utf-8")
    assert "**atonce is not on PyPI**" in page
    jobs = [job for file in WORKFLOWS for job in yaml.safe_load(file.read_text("utf-8"))["jobs"].values()]
    text = repr(jobs)
    assert "upload-artifact" in text
    assert not re.search(r"pypi-publish|twine upload|upload\.pypi|\bpypi\b", text)


def test_jobs_wait_for_jobs_that_there_are() -> None:
    for file in WORKFLOWS:
        jobs = yaml.safe_load(file.read_text("utf-8"))["jobs"]
        for job in jobs.values():
            needed = job.get("needs", [])
            assert ({needed} if isinstance(needed, str) else {*needed}) <= set(jobs)
