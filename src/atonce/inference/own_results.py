"""Results of `atonce predict` itself: they are not segmented again, and nothing else is overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from atonce.errors import UserError, option
from atonce.inference.video.container import comment_of

FOLDERS = ("overlays", "labels", "probabilities", "maps")
"""The folders of results below the output folder that hold pictures, videos and arrays."""

PNG_KEY = "atonce"
"""Key of a result's tag among the texts of a PNG file, see `finished_results`."""

SOFTWARE = "atonce"
"""The mark of what is written here: the text Software of PNG files, the comment of JPEG files and videos."""


def png_texts(tag: str = "") -> PngInfo:
    """Build the texts of a PNG file of ours.

    Args:
        tag: the `ResultTag` of a label picture.
    """
    texts = PngInfo()
    texts.add_text("Software", SOFTWARE)
    if tag:
        texts.add_text(PNG_KEY, tag)
    return texts


def save_options(path: Path) -> dict[str, Any]:
    """Return the options for `Image.save` that mark a picture as ours, by its suffix."""
    return {"pnginfo": png_texts()} if path.suffix == ".png" else {"quality": 92, "comment": SOFTWARE.encode()}


def is_own(path: Path) -> bool:
    """Tell whether a picture or a video was written here, by its mark."""
    if not path.is_file():
        return False  # a pipe would have to be waited for
    try:
        if path.suffix.lower() in (".png", ".jpg"):
            with Image.open(path, formats=("PNG", "JPEG")) as picture:
                about = picture.info
                return (
                    PNG_KEY in about or about.get("Software") == SOFTWARE or about.get("comment") == SOFTWARE.encode()
                )
        comment = comment_of(path) or ""
        return comment == SOFTWARE or comment.startswith('{"model": ')
    # Pillow's errors on damaged files are of many kinds; what cannot be read is nothing of ours.
    except (UserError, OSError, SyntaxError, ValueError):
        return False


def is_own_result(path: Path, below: Path) -> bool:
    """Tell whether a file that was found below a folder is a result: it lies in one of `FOLDERS` and bears our mark, or
    the label picture beside it does (overlays of the first edition have no mark)."""
    parts = path.relative_to(below).parts[:-1]
    for depth, name in enumerate(parts):
        if name not in FOLDERS:
            continue
        root = below.joinpath(*parts[:depth])
        sibling = (root / "labels" / path.relative_to(root / name)).with_suffix(".png")
        if is_own(path) or (sibling != path and sibling.is_file() and is_own(sibling)):
            return True
    return False


def require_own(paths: list[Path]) -> None:
    """Refuse to write the results of a picture or video where somebody else's files are.

    Args:
        paths: the files to be written; those that bear no mark (.npy) are ours where one of the others is.

    Raises:
        UserError: one of them exists and was not written here.
    """
    there = [path for path in paths if path.exists()]
    marked = [path for path in there if path.suffix != ".npy"]
    foreign = [path for path in marked if not is_own(path)]
    if not marked:
        foreign = there
    if foreign:
        raise UserError(
            f"{foreign[0]} is there already and was not written by atonce",
            "a place for new results",
            f"choose another {option('out')}, or replace it with {option('overwrite', value=True)}",
        )
