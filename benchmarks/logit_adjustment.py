"""What class weights cost a trained network: a table of docs/experiments.md, "Whole pictures, Muon,
and weights that are taken back".

python benchmarks/logit_adjustment.py RUN path/to/data

The class weights of the run are computed once more from its training masks; their logarithms, times a factor, are taken
from the network's logits, and it is scored on the validation pictures with each factor.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from torch import Tensor

import atonce
from atonce.data import open_dataset
from atonce.data.class_statistics import StatisticsAccumulator
from atonce.data.class_weights import class_weights
from atonce.data.dataset import Dataset
from atonce.metrics import ConfusionMatrix
from atonce.recipes import Recipe, load_recipe

FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0)


def main(run: str, data: str) -> None:
    dataset = open_dataset(data)
    weights = weights_of(load_recipe(Path(run) / "recipe.yaml"), dataset)
    if weights is None:
        sys.exit(f"{run} has no class weights: there is nothing to take back")
    shift = weights.log().numpy()[:, None, None]
    segment = atonce.load(run)
    matrices = {factor: ConfusionMatrix(dataset.labels.num_classes) for factor in FACTORS}
    for item in dataset.split("val"):
        sample = dataset.load(item)
        if sample.mask is None:
            continue
        logarithms = np.log(segment(sample.image).probabilities + 1e-12)
        for factor, matrix in matrices.items():
            matrix.add(labels=sample.mask, predictions=(logarithms - factor * shift).argmax(0))
    print(f"{run}, class weights {', '.join(f'{weight:.2f}' for weight in weights)}\n")
    print(f"| factor | mean IoU | pixel accuracy | {' | '.join(dataset.labels.names)} |")
    print("|---:|---:|---:|" + "---:|" * dataset.labels.num_classes)
    for factor, matrix in matrices.items():
        numbers = [matrix.mean_iou, matrix.pixel_accuracy, *matrix.iou]
        print(f"| {factor:g} | " + " | ".join(f"{number:.4f}" for number in numbers) + " |")


def weights_of(recipe: Recipe, dataset: Dataset) -> Tensor | None:
    """Compute the class weights (C,) that a training by the recipe has; None where all are 1."""
    counts = StatisticsAccumulator(dataset.labels.num_classes)
    for item in dataset.split("train"):
        sample = dataset.load(item)
        height, width = sample.image.shape[:2]
        pixels = None if sample.mask is None else np.bincount(sample.mask.ravel(), minlength=256)
        counts.add((width, height), pixels)
    found = counts.statistics()
    return class_weights(recipe.loss, found.pixel_count, found.pixels_of_pictures_with_class)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python benchmarks/logit_adjustment.py RUN path/to/data")
    main(*sys.argv[1:])
