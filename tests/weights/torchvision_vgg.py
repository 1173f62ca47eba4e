"""VGG-16 as torchvision writes it, to compare outputs with; nothing here is atonce's code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEAD = 24
"""Channels of the fully connected layers: the importers take any number, and 4096 would take 411 MB."""


VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


VGG19 = (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", *(512,) * 4, "M")


class TorchvisionVGG(nn.Module):
    """torchvision.models.vgg16, without its adaptive pooling, which does nothing to a 224x224 picture."""

    def __init__(self, layers: tuple[int | str, ...] = VGG16, batch_norm: bool = False) -> None:
        super().__init__()
        self.features, channels = nn.Sequential(), 3
        for layer in layers:
            if isinstance(layer, str):
                self.features.append(nn.MaxPool2d(2, 2))
            else:
                self.features.append(nn.Conv2d(channels, layer, 3, padding=1))
                if batch_norm:
                    self.features.append(nn.BatchNorm2d(layer))
                self.features.append(nn.ReLU())
                channels = layer
        dense = [nn.Linear(512 * 7 * 7, HEAD), nn.ReLU(), nn.Dropout(), nn.Linear(HEAD, HEAD), nn.ReLU(), nn.Dropout()]
        self.classifier = nn.Sequential(*dense, nn.Linear(HEAD, 10))

    def randomise(self, first: float, seed: int = 0) -> TorchvisionVGG:
        """Activations of ordinary size; `first` scales conv1_1, for inputs that are not of unit variance."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.ndim == 1:
                    parameter.normal_(0, 0.1, generator=generator)
                else:
                    parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5, generator=generator)
            next(self.parameters()).mul_(first)
        return self.eval()

    def pools(self, x: Tensor) -> list[Tensor]:
        """Normalised (N, 3, H, W) -> pool1 ... pool5."""
        found = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                found.append(x)
        return found

    def fc7(self, x: Tensor) -> Tensor:
        """Normalised (N, 3, 224, 224) -> (N, HEAD), after the second ReLU."""
        for layer in list(self.classifier)[:5]:
            x = layer(x if isinstance(layer, nn.ReLU) or x.ndim == 2 else self.pools(x)[-1].flatten(1))
        return x
