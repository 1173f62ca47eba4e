"""The one place that knows it; pyproject.toml reads it from here."""

__version__ = "0.1.0"
