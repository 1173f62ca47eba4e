"""atonce ablate, as it is called."""

from __future__ import annotations

from pathlib import Path

from tests.commands import Command
from tests.studies.tiny_studies import ablate_words


def test_a_mistake_is_one_line(atonce: Command, street_data: Path, tmp_path: Path) -> None:
    words = ablate_words(street_data, "freeze", tmp_path / "out", "--set", "model.strid=8")
    outcome = atonce(*words)
    assert "unknown key 'model.strid'" in outcome.mistake
    assert outcome.err == outcome.mistake + "\n"
    assert not (tmp_path / "out").exists()
