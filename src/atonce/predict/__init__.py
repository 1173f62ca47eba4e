"""Using a network."""

from atonce.predict.predictor import Predictor, Result

__all__ = ["Predictor", "Result"]
