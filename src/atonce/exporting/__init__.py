"""Ship a network: one graph from picture to labels, checked against torch before anybody gets it."""

from atonce.exporting.export_model import Export, export
from atonce.exporting.graph_files import Target
from atonce.exporting.parity import Limits, Parity

__all__ = ["Export", "Limits", "Parity", "Target", "export"]
