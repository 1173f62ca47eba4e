"""Export: a network as one graph from picture to labels, checked against torch before it is put in place; and weights
from elsewhere as files of atonce (`convert_weights.py`)."""

from atonce.exporting.export_model import Export, export
from atonce.exporting.graph_files import Target
from atonce.exporting.parity import Limits, Parity

__all__ = ["Export", "Limits", "Parity", "Target", "export"]
