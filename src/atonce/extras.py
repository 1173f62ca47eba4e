"""Packages that only some users need: those of the extras in pyproject.toml, imported when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from atonce.errors import UserError


def require_extra(module: str, what: str, extra: str) -> Any:
    """Import a package of an extra.

    Args:
        module: as it is imported ("onnx").
        what: the thing that needs it, for the message ("serving").
        extra: the extra of atonce that installs it ("export").

    Raises:
        UserError: it is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
        raise UserError(
            f"{what} needs the package {module}, which is not installed", remedy=f"pip install 'atonce[{extra}]'"
        ) from None
