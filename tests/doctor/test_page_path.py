"""The doctor's page takes the place of an earlier one, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from atonce.doctor import examine, write_page
from atonce.errors import DataError
from tests.commands import Command
from tests.data import trees


def test_what_is_no_page_of_the_doctor_is_not_overwritten(atonce: Command, tmp_path: Path) -> None:
    data, page = tmp_path / "data", tmp_path / "thesis.html"
    data.mkdir()
    trees.folder(data)
    page.write_text("<!DOCTYPE html><title>My thesis</title>")
    with pytest.raises(DataError, match=r"thesis\.html is there already, and not an earlier one of ours"):
        write_page(examine(data), page)
    assert "is there already" in atonce("doctor", data, "--out", page).mistake
    assert "My thesis" in page.read_text()
    page.unlink()
    for _ in range(2):
        write_page(examine(data), page)
    assert "atonce doctor" in page.read_text()
