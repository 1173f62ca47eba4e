"""Ship a network: one graph from picture to labels, checked against torch before anybody gets it."""

from atonce.export.files import Target
from atonce.export.parity import Limits, Parity
from atonce.export.run import Export, export

__all__ = ["Export", "Limits", "Parity", "Target", "export"]
