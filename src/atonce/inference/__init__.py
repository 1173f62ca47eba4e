"""Using a network."""

from atonce.inference.predictor import Predictor, Result

__all__ = ["Predictor", "Result"]
