"""What is in a folder of data, what is wrong with it, what to do: everything is read, nothing is changed."""

from atonce.data.doctor.examine import Examination, examine
from atonce.data.doctor.findings import Finding

__all__ = ["Examination", "Finding", "examine"]
