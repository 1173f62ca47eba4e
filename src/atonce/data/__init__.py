"""Data sets: whatever lies in a folder becomes pictures and masks of one kind."""

from atonce.data.dataset import Dataset, Item, Sample
from atonce.data.formats import FORMATS, open_dataset

__all__ = ["FORMATS", "Dataset", "Item", "Sample", "open_dataset"]
