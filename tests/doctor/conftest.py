"""The trees that the data formats are tested with."""

from tests.data.conftest import healthy

__all__ = ["healthy"]
