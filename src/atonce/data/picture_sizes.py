"""The sizes of the pictures that a network was trained on, in short: what its own idea of large and small rests on."""

from __future__ import annotations

from collections.abc import Mapping


def summarize_sizes(sizes: Mapping[tuple[int, int], int]) -> dict[str, list[int]]:
    """Summarize (width, height) -> number of pictures as "smallest", "median" and "largest", by area.

    Returns:
        [width, height] of each, ready for JSON; empty where there are no pictures.
    """
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    if not ordered:
        return {}
    half, passed = sum(sizes.values()) / 2, 0
    median = ordered[-1]
    for size in ordered:
        passed += sizes[size]
        if passed >= half:
            median = size
            break
    return {"smallest": list(ordered[0]), "median": list(median), "largest": list(ordered[-1])}
