"""The KITTI road benchmark's scores, in the picture or on the ground seen from above."""

from atonce.metrics.kitti_road.birds_eye import BirdsEye
from atonce.metrics.kitti_road.road_evaluator import RoadCurve, RoadEvaluator, RoadScores, confidence_bytes

__all__ = ["BirdsEye", "RoadCurve", "RoadEvaluator", "RoadScores", "confidence_bytes"]
