"""Synthetic street scenes with exact masks, in CamVid's eleven classes: data for the demo and for tests."""

from atonce.data.streets.scene import render_scene
from atonce.data.streets.write import write_streets

__all__ = ["render_scene", "write_streets"]
