"""Data sets: whatever lies in a folder becomes pictures and masks of one kind."""

from atonce.data.adapters import FORMATS, open_dataset
from atonce.data.samples import Dataset, Item, Sample

__all__ = ["FORMATS", "Dataset", "Item", "Sample", "open_dataset"]
