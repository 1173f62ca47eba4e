"""Knowledge distillation: a network learns from the masks, and from what a trained one makes of the same crops.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2; pixel by pixel as in Liu et al.,
"Structured Knowledge Distillation for Semantic Segmentation", CVPR 2019, section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from atonce.data.dataset import Dataset, require_same_classes
from atonce.data.input_size import InputSize
from atonce.errors import TrainingError, option
from atonce.model import FCN
from atonce.model_file import load_model_file
from atonce.model_location import find_model_file
from atonce.recipes import Recipe
from atonce.storage import sha256_of


@dataclass(frozen=True)
class Teacher:
    """A trained network that is asked for its logits and never changed.

    Attributes:
        model: in evaluation mode, on the device of the training.
        sha256: of its file: a run that is resumed goes on with the same one, wherever it lies now.
        zoom: the size at which it was trained to see pictures, over the size at which the student sees them; height's
            and width's where they differ.
    """

    model: FCN
    sha256: str
    zoom: float | tuple[float, float] = 1.0

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Compute its logits of the student's crops: float (N, 3, h, w), RGB 0..255 -> float (N, C, h, w)."""
        size = images.shape[-2:]
        if self.zoom == 1:
            logits: Tensor = self.model(images)
            return logits.float()
        zooms = self.zoom if isinstance(self.zoom, tuple) else (self.zoom, self.zoom)
        seen = [max(1, round(side * zoom)) for side, zoom in zip(size, zooms, strict=True)]
        # It would take a car at half the size for another thing than the cars that it knows.
        resized = F.interpolate(images, seen, mode="bilinear", align_corners=False, antialias=True)
        resized = resized.contiguous(memory_format=torch.channels_last)
        return F.interpolate(self.model(resized).float(), size, mode="bilinear", align_corners=False)


def distillation_sum(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Sum temperature ** 2 * KL(teacher || student) of the class probabilities at that temperature over all pixels.

    The square keeps the gradient's size whatever the temperature (Hinton et al., section 2). Every pixel counts,
    void too: nobody has labelled it, but the teacher has logits for it, and edges of objects are often void. That
    gives the colour around a picture that is smaller than its crop a meaning as well, which does no harm.

    Args:
        logits: the student's, float (N, C, H, W).
        teacher: the teacher's, likewise.
    """
    student, target = (F.log_softmax(scores.float() / temperature, dim=1) for scores in (logits, teacher))
    return temperature**2 * F.kl_div(student, target, reduction="sum", log_target=True)


def load_teacher(
    recipe: Recipe, dataset: Dataset, sizes: Mapping[tuple[int, int], int], device: torch.device
) -> Teacher | None:
    """Load the teacher of a recipe onto its device; None where there is to be none.

    Args:
        sizes: (width, height) of the training pictures -> how many; of the most usual one follows the zoom.

    Raises:
        WeightsError: not a model file of atonce, or its classes are not those of the data, in their order.
    """
    if recipe.distill.teacher is None:
        return None
    path = find_model_file(recipe.distill.teacher)
    trained = load_model_file(path)
    require_same_classes(trained.labels, dataset, f"the teacher {path}")
    student = InputSize.of_recipe(recipe.data)
    width, height = max(sizes, key=lambda size: sizes[size])
    zoom = _zoom(trained.input_size, student, height, width)
    model = trained.model.eval().requires_grad_(requires_grad=False)
    return Teacher(
        model.to(device, memory_format=torch.channels_last),  # type: ignore[call-overload]
        sha256_of(path),
        zoom,
    )


def require_same_teacher(teacher: Teacher | None, began_with: str | None, recipe: Recipe) -> None:
    """Raise TrainingError where a run is to go on with another teacher than it began with, most likely by accident.

    To go on without one, or to begin with one, is what somebody has asked for.
    """
    if teacher and began_with and teacher.sha256 != began_with:
        raise TrainingError(
            f"the teacher {recipe.distill.teacher} has sha256 {teacher.sha256[:16]}...",
            f"that of the teacher the run began with, {began_with[:16]}...",
            f"name that one with {option('teacher')}, or start a new run",
        )


def _zoom(teacher: InputSize, student: InputSize, height: int, width: int) -> float | tuple[float, float]:
    """The size at which a teacher sees a picture over that at which the student does; one number where both keep its
    proportions."""
    if teacher == student:
        return 1.0
    theirs, ours = teacher.apply(height, width), student.apply(height, width)
    if teacher.size is None and student.size is None:
        return max(theirs) / max(ours)
    return theirs[0] / ours[0], theirs[1] / ours[1]
