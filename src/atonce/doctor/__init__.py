"""What is in a folder of data, what is wrong with it, what to do: everything is read, nothing is changed."""

from atonce.doctor.examination import Examination, examine
from atonce.doctor.findings import Finding

__all__ = ["Examination", "Finding", "examine"]
