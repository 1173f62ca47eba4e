"""Data of a JSON file as a dataclass: types are checked, so that a damaged file is told where it is read."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


def from_json_data(kind: type[T], data: Any) -> T:
    """Make a dataclass of the data in a JSON file.

    Args:
        kind: a dataclass, whose annotations say what its fields hold.

    Raises:
        ValueError: a field is missing, unknown, or of another type; the message is one line.
    """
    if not isinstance(data, dict):
        raise ValueError(f"it holds a {type(data).__name__}")
    known = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if unknown := [key for key in data if key not in known]:
        raise ValueError(f"it holds the unknown {str(unknown[0])[:40]}")
    try:
        made: T = _adapter(kind).validate_python(data)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:80]
        raise ValueError(f"{where}: {first['msg']}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return made


@lru_cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
