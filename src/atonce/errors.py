"""Mistakes a user can mend. Whoever raises one says what was found, what was expected, what to do."""

from __future__ import annotations


class UserError(Exception):
    """Shown by the command line as one line on stderr, without a traceback; exit code 2.

    Args:
        found: what is there ("mask.png holds the value 200").
        expected: what should be there ("ids 0..10 or 255").
        remedy: what the user can do ("map it in classes.yaml").
    """

    def __init__(self, found: str, expected: str = "", remedy: str = "") -> None:
        self.found, self.expected, self.remedy = found, expected, remedy
        parts = [found]
        if expected:
            parts.append(f"expected {expected}")
        if remedy:
            parts.append(remedy)
        super().__init__("; ".join(parts))


class DataError(UserError):
    """Pictures, masks, their pairing or their layout."""


class RecipeError(UserError):
    """A recipe: unknown key, wrong type, value out of range."""


class WeightsError(UserError):
    """A weights or model file: wrong layout, wrong architecture, broken, missing."""


class TrainingError(UserError):
    """Training cannot go on: loss not finite, nothing to resume, wrong run directory."""


class StorageError(UserError):
    """Writing failed: disk full, folder read-only."""
