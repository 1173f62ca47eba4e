"""atonce: semantic segmentation with fully convolutional networks (FCN-32s, FCN-16s, FCN-8s on VGG-16).

>>> import atonce
>>> run = atonce.train("path/to/data", weights="vgg16_features.pth", max_minutes=20)     # doctest: +SKIP
>>> atonce.evaluate(run, "path/to/data").mean_iou                                         # doctest: +SKIP
>>> segment = atonce.load(run)                                                            # doctest: +SKIP
>>> result = segment("street.jpg")                                                        # doctest: +SKIP
>>> result.labels, result.probabilities, result.classes, result.overlay()                 # doctest: +SKIP
>>> atonce.export(run, to="onnx", out="model.onnx")                                       # doctest: +SKIP

`train`, `evaluate`, `predict`, `export`, `submit`, `ablate` and `serve` are the commands of these names: the same
files, the same numbers. What other commands do is in packages, which load with their first use:
`atonce.doctor.examine`, `atonce.streets.write_streets`, `atonce.recipes`, `atonce.weights`, `atonce.data`,
`atonce.metrics`, `atonce.reports`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atonce.lazy_names import lazy_names
from atonce.threads import prepare, set_threads
from atonce.version import __version__

if TYPE_CHECKING:
    from atonce.data import open_dataset
    from atonce.errors import UserError
    from atonce.evaluation import Evaluation, evaluate, submit
    from atonce.exporting import export
    from atonce.exporting.push_model import push
    from atonce.inference import Predictor, Result, load
    from atonce.inference.folders import predict
    from atonce.inference.information import info
    from atonce.labels import LabelSpec
    from atonce.model import FCN
    from atonce.recipes import FCNConfig, Recipe, load_recipe
    from atonce.reports.model_card import card
    from atonce.serving import serve
    from atonce.studies import ablate
    from atonce.training import Callback, TrainedRun, TrainingPlan, plan, train

__all__ = [
    "FCN",
    "Callback",
    "Evaluation",
    "FCNConfig",
    "LabelSpec",
    "Predictor",
    "Recipe",
    "Result",
    "TrainedRun",
    "TrainingPlan",
    "UserError",
    "__version__",
    "ablate",
    "card",
    "evaluate",
    "export",
    "info",
    "load",
    "load_recipe",
    "open_dataset",
    "plan",
    "predict",
    "push",
    "serve",
    "set_threads",
    "submit",
    "train",
]

# Before torch is imported: its libraries read how many threads they have, and how these wait, when they are loaded.
prepare()

_MODULES = {
    "FCN": "atonce.model",
    "Callback": "atonce.training",
    "Evaluation": "atonce.evaluation",
    "FCNConfig": "atonce.recipes",
    "LabelSpec": "atonce.labels",
    "Predictor": "atonce.inference",
    "Recipe": "atonce.recipes",
    "Result": "atonce.inference",
    "TrainedRun": "atonce.training",
    "TrainingPlan": "atonce.training",
    "UserError": "atonce.errors",
    "ablate": "atonce.studies",
    "card": "atonce.reports.model_card",
    "evaluate": "atonce.evaluation",
    "export": "atonce.exporting",
    "info": "atonce.inference.information",
    "load": "atonce.inference",
    "load_recipe": "atonce.recipes",
    "open_dataset": "atonce.data",
    "plan": "atonce.training",
    "predict": "atonce.inference.folders",
    "push": "atonce.exporting.push_model",
    "serve": "atonce.serving",
    "submit": "atonce.evaluation",
    "train": "atonce.training",
}


_PACKAGES = ("data", "doctor", "metrics", "recipes", "reports", "streets", "weights")

# Names load with their first use: `import atonce` and `atonce --help` do not wait for torch.
__getattr__ = lazy_names(__name__, {**_MODULES, **{name: f"atonce.{name}" for name in _PACKAGES}})


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})
