"""The table of docs/skip-scaling.md: how VGG-16's pools spread on a data set, and the scales that follow.

python benchmarks/pool_statistics.py path/to/CamVid vgg16_features.pth
"""

from __future__ import annotations

import math
import sys

import torch

from atonce.data import open_dataset
from atonce.data.input_size import InputSize
from atonce.inference.network_predictor import network_input
from atonce.model import FCN, initialise
from atonce.model.skip_scaling import calibrate, head_mean_squared_norm, pool_statistics
from atonce.recipes import FCNConfig
from atonce.weights import load_weights

PICTURES, SCALE, SEED = 8, 0.65, 0


def main(data: str, weights: str) -> None:
    items = open_dataset(data).split("train")
    chosen = [items[i * len(items) // PICTURES] for i in range(PICTURES)]
    dataset = open_dataset(data)
    images = [network_input(dataset.load(item).image, InputSize(SCALE)) for item in chosen]
    print(f"{PICTURES} pictures of {data} at {SCALE}, {weights}, seed {SEED}\n")
    print("| | mean | std | sqrt mean a² | sqrt mean |a|² |\n|---|---:|---:|---:|---:|")
    for width in (512, 4096):
        torch.manual_seed(SEED)
        config = FCNConfig(skip_scales="calibrate", head_scale="calibrate", head_width=width)
        model = initialise(FCN(config, 11)).eval()
        load_weights(model, weights)
        statistics = pool_statistics(model, images)
        if width == 512:
            for pool in (3, 4, 5):
                m = statistics.pools[pool]
                numbers = (
                    m.total / m.values,
                    m.standard_deviation,
                    math.sqrt(m.mean_square),
                    math.sqrt(m.mean_squared_norm),
                )
                print(f"| pool{pool} | " + " | ".join(f"{number:.4g}" for number in numbers) + " |")
            print("\n| head | sqrt mean |h|² | pool4 x | pool3 x | pool5 x |\n|---|---:|---:|---:|---:|")
        found = calibrate(model, images)
        head = math.sqrt(head_mean_squared_norm(model, statistics.pool5, model.head_scale))
        print(f"| {width} | {head:.4g} | {model.scales[4]:.3g} | {model.scales[3]:.3g} | {found.head_scale:.3g} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
