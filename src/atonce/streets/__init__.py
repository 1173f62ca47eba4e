"""Synthetic street scenes with exact masks, in CamVid's eleven classes: data for the demo and for tests."""

from atonce.streets.scene import render_scene
from atonce.streets.write_streets import write_streets

__all__ = ["render_scene", "write_streets"]
