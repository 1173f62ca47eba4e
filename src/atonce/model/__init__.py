"""The network."""

from atonce.model.fcn import FCN
from atonce.model.initialization import initialise
from atonce.model.preprocessing import Preprocessing

__all__ = ["FCN", "Preprocessing", "initialise"]
