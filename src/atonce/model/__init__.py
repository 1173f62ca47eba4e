"""The network: FCN-32s, FCN-16s and FCN-8s on VGG-16. `fcn.py` is the file to read first."""

from atonce.model.fcn import FCN
from atonce.model.initialization import initialise
from atonce.model.preprocessing import Preprocessing

__all__ = ["FCN", "Preprocessing", "initialise"]
