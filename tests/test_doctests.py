"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = (
    "atonce.metrics",
    "atonce.model.fcn",
    "atonce.model.upsampling",
    "atonce.model.vgg",
)
"""Every module whose docstrings hold examples that run as they stand."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    results = doctest.testmod(import_module(name))
    assert results.attempted > 0, "it holds no example"
    assert results.failed == 0
