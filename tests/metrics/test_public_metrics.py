"""The metrics' front door: every public class has an example that runs, and says where its formula comes from."""

from __future__ import annotations

import doctest
import importlib
import inspect

import pytest

import atonce.metrics

METRICS = ("BirdsEye", "BoundaryF1", "CalibrationError", "ConfusionMatrix", "RoadEvaluator")


@pytest.mark.parametrize("name", ["", *METRICS])
def test_the_example_in_the_docstring_runs(name: str) -> None:
    thing = getattr(atonce.metrics, name) if name else atonce.metrics
    module = importlib.import_module(thing.__module__) if name else atonce.metrics
    (example,) = [
        found
        for found in doctest.DocTestFinder(recurse=False).find(thing, name or "atonce.metrics", module)
        if found.examples
    ]
    results = doctest.DocTestRunner().run(example)
    assert results.attempted > 1
    assert results.failed == 0


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_names_its_source(name: str) -> None:
    assert "\nSource: " in inspect.cleandoc(getattr(atonce.metrics, name).__doc__)


def test_what_is_exported_is_documented() -> None:
    assert sorted(atonce.metrics.__all__) == list(atonce.metrics.__all__)
    assert all(getattr(atonce.metrics, name).__doc__ for name in atonce.metrics.__all__)
