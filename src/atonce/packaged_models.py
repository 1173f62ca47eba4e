"""Models that come in packages of their own, known by name: `atonce.load("camvid-slim")`.

Such a package has an entry point `NAME = "MODULE"` in the group `atonce.models`, and in the module's folder a
models.json: name -> file and sha256. It is found and read without running any of its code.
"""

from __future__ import annotations

from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

from atonce.errors import StorageError, WeightsError
from atonce.storage import sha256_of
from atonce.text import did_you_mean, words_of
from atonce.untrusted_files import read_json

GROUP = "atonce.models"
"""The group of the entry points."""

INDEX = "models.json"
"""The file in a package that names its models' files: {"NAME": {"file": ..., "sha256": ...}}."""

KNOWN_PACKAGES = {"camvid-slim": "atonce-camvid", "streets": "atonce-streets"}
"""Names of models -> the packages that this repository builds of them."""


def packaged_models() -> dict[str, str]:
    """List the models of installed packages: name -> module, sorted by name."""
    found: dict[str, str] = {}
    for package in distributions():
        try:
            for point in package.entry_points.select(group=GROUP):
                found.setdefault(point.name, point.value)
        # Lines that say nothing, bytes that are no text: the list of some package, which is no model of ours then.
        except (TypeError, ValueError, AttributeError, OSError):
            continue
    return dict(sorted(found.items()))


def find_packaged(name: str) -> Path | None:
    """Find the model file of a name, checked against its sha256; None where no installed package has it.

    Raises:
        WeightsError: the package is damaged.
    """
    module = packaged_models().get(name)
    if module is None:
        return None
    remedy = f"install {KNOWN_PACKAGES.get(name, module)} again"
    try:
        # A module of a package would have to be imported to find it; only whole packages are taken.
        spec = find_spec(module) if module.isidentifier() else None
        folder = Path(next(iter(spec.submodule_search_locations or []))) if spec else None
        if folder is None:
            raise ValueError("there is no such package")
        entry = read_json(folder / INDEX)[name]
        file, digest = str(entry["file"]), str(entry["sha256"])
        if Path(file).name != file:
            raise ValueError("a file outside the package")
        path = folder / file
        found = sha256_of(path)
    except (StorageError, OSError, ValueError, LookupError, TypeError, StopIteration) as error:
        reason = words_of(error, 120)
        raise WeightsError(
            f"the package {module} has no model '{name}' ({reason})", "a whole package", remedy
        ) from None
    if found != digest:
        raise WeightsError(f"{path} has sha256 {found[:16]}...", f"{digest[:16]}...", remedy)
    return path


def packaged_hint(name: str) -> str:
    """Say what may be meant by a name that no installed package has; empty where nothing is near."""
    if name in KNOWN_PACKAGES:
        about = 'the page "Models by name, and their cards" tells of it'
        return f"the package {KNOWN_PACKAGES[name]} has it, which is not installed: {about}"
    return did_you_mean(name, [*packaged_models(), *KNOWN_PACKAGES])
