"""Use a network: pictures, folders and videos in, labels and overlays of the same size out."""

from atonce.inference.exported_predictor import ExportedPredictor
from atonce.inference.load import load
from atonce.inference.network_predictor import NetworkPredictor
from atonce.inference.predictor import Predictor
from atonce.inference.result import Area, Region, Result

__all__ = ["Area", "ExportedPredictor", "NetworkPredictor", "Predictor", "Region", "Result", "load"]
