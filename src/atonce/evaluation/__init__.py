"""Score networks on data sets: the metrics over a split, the gallery, the KITTI road submission."""

from atonce.evaluation.evaluate_model import evaluate
from atonce.evaluation.kitti_submission import submit
from atonce.evaluation.scoring import Evaluation, ExtraMetric, PictureScore, score_items

__all__ = ["Evaluation", "ExtraMetric", "PictureScore", "evaluate", "score_items", "submit"]
