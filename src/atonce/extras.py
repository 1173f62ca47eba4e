"""Packages that only some users need: those of the extras in pyproject.toml, imported when they are used."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

from atonce.errors import UserError

_TELEMETRY = "openvino_telemetry"


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
        with _without_telemetry():
            return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
        raise UserError(
            f"{what} needs the package {module}, which is not installed", remedy=how_to_install(extra)
        ) from None


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Import packages as if that which sends their telemetry were not installed: they have a substitute for it.

    OpenVINO and NNCF report each import and each use to Google Analytics, unless a user has refused. What is done with
    a user's pictures is nobody else's business. The user's own choice, a file in the home folder, stays as it is; so
    does the package for whoever imports it afterwards.
    """
    there = sys.modules.pop(_TELEMETRY, None)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # Python's way to say that there is no such module
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]
        if there is not None:
            sys.modules[_TELEMETRY] = there


def how_to_install(extra: str) -> str:
    """Write the command that installs the packages of an extra.

    It names them instead of `atonce[extra]`, which is right however atonce itself was installed: from a clone, a
    wheel or an index. pip would look for the name atonce in an index, where it may be somebody else's.
    """
    packages = packages_of(extra)
    if not packages:
        return f"install atonce with its extra `{extra}`"
    # Double quotes are quotes to every shell, that of Windows included.
    return "pip install " + " ".join(f'"{package}"' for package in packages)


def packages_of(extra: str) -> list[str]:
    """Read the packages of an extra, with their versions, from what the installer noted of atonce.

    Empty where it noted nothing: run from a folder of source, or installed before there was such an extra.
    """
    try:
        noted = requires("atonce") or []
    except PackageNotFoundError:
        return []
    marker = re.compile(rf"""\bextra\s*==\s*["']{re.escape(extra)}["']""")
    found = [requirement.partition(";") for requirement in noted]
    return [re.sub(r"[\s()]", "", package) for package, _, condition in found if marker.search(condition)]
