"""The reference to a mask that is no picture file of its own: shapes in a JSON or text file, or one file per class."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Annotation:
    """A mask as an annotation tool wrote it; `Dataset.read_mask` makes the pixels of it.

    It holds all that its file says of one picture, so that it can be pickled, compared and hashed without reading
    that file again: a COCO file is about thousands of pictures.

    Attributes:
        path: the file that messages name.
        image: the picture it belongs to; its size is that of the mask where `content` gives none.
        content: the shapes, as `atonce.data.annotation_shapes.dump_shapes` writes them.
        files: mask files that `content` refers to by their position.
    """

    path: Path
    image: Path
    content: str = field(repr=False)
    files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The name of the file that messages name."""
        return self.path.name

    def parts(self) -> Iterator[Path | bytes]:
        """Yield all that the mask depends on: a digest of the content, then the files."""
        yield hashlib.sha256(self.content.encode()).digest()
        yield from self.files


MaskSource = Path | Annotation
"""A mask: a picture file, or an annotation."""


def mask_parts(mask: MaskSource | None) -> Iterator[Path | bytes]:
    """Yield the files and digests that a mask depends on; a mask file depends on itself alone, None on nothing."""
    if isinstance(mask, Annotation):
        yield from mask.parts()
    elif mask is not None:
        yield mask
