"""`python -m models NAME MODEL`: build the package of a model that has been trained."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from atonce.errors import UserError
from atonce.packaged_models import KNOWN_PACKAGES
from models.build_package import HERE, build_package


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    parser.add_argument("name", choices=KNOWN_PACKAGES, help="what users will call the model")
    parser.add_argument("model", type=Path, help="a run folder, or a model file")
    parser.add_argument("--data", type=Path, help="its data set: the packaged file is scored on the validation split")
    parser.add_argument("--out", type=Path, default=HERE / "build", help="folder for the source and the wheel")
    options = parser.parse_args()
    try:
        built = build_package(options.name, options.model, out=options.out, data=options.data, tell=print)
    except UserError as error:
        sys.exit(f"models: {error.for_command_line()}")
    print(f"{built.wheel}\ninstall it with pip, then: atonce predict {options.name} street.jpg")


if __name__ == "__main__":
    main()
