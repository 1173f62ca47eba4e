"""Packages of extras: imported where they are, named with a remedy where they are not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from atonce.errors import UserError
from atonce.extras import require_extra


def test_a_package_that_is_there_is_given() -> None:
    assert require_extra("json", "this test", "none") is json


def test_a_package_that_is_not_there_is_named_with_its_remedy() -> None:
    with pytest.raises(UserError) as caught:
        require_extra("no_such_package.part", "serving", "serve")
    message = "serving needs the package no_such_package.part, which is not installed; pip install 'atonce[serve]'"
    assert str(caught.value) == message


def test_a_package_that_misses_one_of_its_own_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_package.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_package", raising=False)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require_extra("broken_package", "serving", "serve")
