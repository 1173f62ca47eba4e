"""Segmentation metrics, each with its source: exact counts over a whole data set, NaN where a score is not defined.

Each metric collects counts picture by picture with `add`; its scores are properties. Two metrics of parts of a data set
become one with `merge`. They take NumPy arrays and nothing of atonce's, so that the results of any network can be
scored:

>>> import numpy as np
>>> from atonce.metrics import ConfusionMatrix
>>> matrix = ConfusionMatrix(num_classes=2)
>>> matrix.add(labels=np.array([[0, 1], [1, 255]]), predictions=np.array([[0, 1], [0, 1]]))
>>> float(matrix.mean_iou)
0.5
"""

from atonce.metrics.boundary_f1 import BoundaryF1
from atonce.metrics.calibration_error import CalibrationError, ReliabilityDiagram
from atonce.metrics.confusion_matrix import ConfusionMatrix
from atonce.metrics.kitti_road import BirdsEye, RoadCurve, RoadEvaluator, RoadScores, confidence_bytes

__all__ = [
    "BirdsEye",
    "BoundaryF1",
    "CalibrationError",
    "ConfusionMatrix",
    "ReliabilityDiagram",
    "RoadCurve",
    "RoadEvaluator",
    "RoadScores",
    "confidence_bytes",
]
