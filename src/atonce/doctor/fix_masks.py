"""Write corrected copies of masks: pixels of no class along borders get a class, or void."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from atonce.data.classes_file import ClassTable, read_classes
from atonce.data.dataset import Dataset
from atonce.data.formats import ClassesNeeded, open_dataset
from atonce.data.images import FileError
from atonce.data.masks import ClassMask, MaskContent
from atonce.data.open_options import GroundTruth
from atonce.data.soft_borders import DEFAULT_WIDTH, MAX_WIDTH, BorderRule
from atonce.doctor.findings import relative_path
from atonce.errors import DataError, option
from atonce.labels import IGNORE_INDEX
from atonce.progress import ProgressCallback
from atonce.remote import require_local
from atonce.storage import make_folder, refuse_existing, storage_errors, write_atomically, write_text
from atonce.threads import at_most


@dataclass(frozen=True, kw_only=True)
class FixedMasks:
    """The outcome of `write_fixed_masks`.

    Attributes:
        folder: where the masks are, each at its path relative to the data set's root.
        masks: how many were written, changed or not.
        changed: how many of them were corrected.
        pixels: how many pixels were.
        rule: what became of pixels of no class.
        broken: an error for each mask that could not be corrected, and was not written.
        classes_file: the classes that were made out, where the data set has no classes file; else None.
    """

    folder: Path
    masks: int
    changed: int
    pixels: int
    rule: BorderRule
    broken: tuple[DataError, ...] = ()
    classes_file: Path | None = None


def write_fixed_masks(
    root: str | Path,
    out: str | Path,
    format: str | None = None,
    *,
    borders: Literal["nearest", "void"] | None = None,
    border_width: int | None = None,
    ground_truth: GroundTruth | None = None,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> FixedMasks:
    """Write a copy of each mask in which every pixel has a value or colour of a class, or of void.

    The originals stay as they are. Masks without a wrong pixel are copied as they are; corrected ones are PNG, with the
    same values or colours as before. Where the data set needs a classes file and has none, the classes that can be made
    out of the masks are written to `out/classes.yaml`, to be named.

    Args:
        root, format, ground_truth, images, masks: as in `open_dataset`.
        out: a folder for the masks.
        borders: "nearest" class or "void"; None takes what classes.yaml says, or "nearest".
        border_width: pixels that a wrong pixel may be away from a class; None takes what classes.yaml says, or 3.
        workers: threads; None: 4, or fewer where `atonce.set_threads` says so.
        progress: called with the masks done and all masks.

    Raises:
        DataError: no such folder, or it cannot be opened; its masks are not read by values or colours of classes; a
            file that would be written is there already.
        StorageError: `out` cannot be written.
    """
    root, out = Path(root), require_local(out, "fix_masks")
    if border_width is not None and not 1 <= border_width <= MAX_WIDTH:
        raise DataError(f"{option('border_width', border_width)}", f"a number of pixels from 1 to {MAX_WIDTH}")
    open_here = partial(open_dataset, root, format, ground_truth=ground_truth, images=images, masks=masks)
    classes_file = None
    try:
        dataset = open_here()
    except ClassesNeeded as error:
        if not error.proposal:
            raise
        classes_file = out / "classes.yaml"
        refuse_existing(classes_file)
        make_folder(out)
        write_text(classes_file, error.proposal)
        if borders == "void":
            write_text(classes_file, error.proposal + _void_entry(read_classes(classes_file)))
        dataset = open_here(classes=classes_file)
    reader = dataset.read_mask
    if not isinstance(reader, ClassMask):
        found = f"masks of format '{dataset.format}' are not read by values or colours of classes"
        raise DataError(found, "masks whose borders can be snapped to classes", f"leave out {option('fix_masks')}")
    rule = _rule(reader, borders, border_width)
    targets = _targets(dataset, out)
    for target in targets.values():
        refuse_existing(target)
    results = _each(partial(_write, reader, rule), list(targets.items()), workers or at_most(4), progress)
    pixels = [result for result in results if isinstance(result, int)]
    return FixedMasks(
        folder=out,
        masks=len(pixels),
        changed=sum(count > 0 for count in pixels),
        pixels=sum(pixels),
        rule=rule,
        broken=tuple(result for result in results if isinstance(result, DataError)),
        classes_file=classes_file,
    )


def _void_entry(table: ClassTable) -> str:
    """Write an entry for void, of a colour or number that no class has; "" where void has one already."""
    if table.colours:
        taken = {colour for colour, _ in table.colours}
        corners = [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)]
        greys = [(level, level, level) for level in range(256)]
        free = next(colour for colour in (*corners, *greys) if colour not in taken)
        return f"  - {{name: void, colour: {list(free)}, void: true}}\n"
    if any(class_id == IGNORE_INDEX for _, class_id in table.values):
        return ""
    numbers = {value for value, _ in table.values}
    return f"  - {{name: void, value: {max(set(range(256)) - numbers)}, void: true}}\n"


def _rule(reader: ClassMask, to: Literal["nearest", "void"] | None, width: int | None) -> BorderRule:
    given = reader.borders or BorderRule("nearest", DEFAULT_WIDTH)
    return BorderRule(to or given.to, width or given.width)


def _targets(dataset: Dataset, out: Path) -> dict[Path, Path]:
    """Mask -> the copy of it, which keeps its suffix as long as it is not corrected."""
    masks = [item.mask for items in dataset.splits.values() for item in items if isinstance(item.mask, Path)]
    targets = {}
    for mask in dict.fromkeys(masks):
        relative = Path(relative_path(mask, dataset.root))
        targets[mask] = out / (relative.name if relative.is_absolute() else relative)
    return targets


def _each(
    work: Callable[[tuple[Path, Path]], int | DataError],
    items: Sequence[tuple[Path, Path]],
    workers: int,
    progress: ProgressCallback | None,
) -> list[int | DataError]:
    results = []
    with ThreadPoolExecutor(workers) as pool:
        for done, result in enumerate(pool.map(work, items), 1):
            results.append(result)
            if progress is not None:
                progress(done, len(items))
    return results


def _write(reader: ClassMask, rule: BorderRule, item: tuple[Path, Path]) -> int | DataError:
    """Write one mask; return how many of its pixels were corrected, or why it could not be."""
    mask, target = item
    try:
        content, changed = reader.corrected(mask, rule)
    except FileError as error:
        return error
    make_folder(target.parent)
    if not changed:
        with storage_errors(target):
            shutil.copyfile(mask, target)
        return 0
    image = _image_of(content)
    target = target.with_suffix(".png")
    refuse_existing(target)
    write_atomically(target, image.save)
    return changed


def _image_of(content: MaskContent) -> Image.Image:
    """Return a mask as a picture of its kind: RGB, palette, or grey of 8, 16 or 32 bits."""
    if content.coloured:
        return Image.fromarray(content.levels().astype(np.uint8))
    largest, smallest = int(content.numbers.max(initial=0)), int(content.numbers.min(initial=0))
    if smallest < 0 or largest > 65535:
        return Image.fromarray(content.numbers.astype(np.int32))
    image = Image.fromarray(content.numbers.astype(np.uint8 if largest < 256 else np.uint16))
    if content.palette is not None and largest < 256:
        image.putpalette(content.palette.astype(np.uint8).ravel().tolist())
    return image
