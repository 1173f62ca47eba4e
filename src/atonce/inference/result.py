"""The result of segmenting one picture: labels and probabilities, masks, polygons, overlays, and files of them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from atonce.data.images import Problem
from atonce.errors import UserError, option
from atonce.labels import IGNORE_INDEX, ColourName, LabelSpec
from atonce.polygons import Polygon, trace_mask
from atonce.storage import refuse_inputs, write_atomically, write_text
from atonce.text import did_you_mean, listing, shortened

# Rows of a picture that are mixed at once: the table of the colours is read through indices of four bytes.
_BAND = 256

# Pixels across the picture that a notebook shows.
_NOTEBOOK_SIDE = 1200

LabelStyle = Literal["palette", "grey", "values", "colours"]
"""The styles of a label picture: the class ids with a palette of the colours; the ids in grey, as OpenCV reads them;
the values that the user's masks have for the classes; the colours as RGB."""
LABEL_STYLES: tuple[str, ...] = get_args(LabelStyle)


class Area(NamedTuple):
    """The area of a class.

    Attributes:
        pixels: their number.
        share: the part of the whole picture, 0..1.
    """

    pixels: int
    share: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Region(Polygon):
    """A connected area of one class, as a polygon with holes.

    Attributes:
        name: the class.
        class_id: its id.
    """

    name: str
    class_id: int


class Result:
    """The segmentation of one picture, at that picture's size.

    Attributes:
        image: uint8 (H, W, 3) RGB, upright, as the network's caller gave it.
        label_spec: names and colours of the classes.
        source: the path of the picture, where it came from one.
        notes: what a reader should know ("much smaller than the pictures that the model was trained on").
        problems: what was lost in reading the picture's file; in words it is among the notes.

    Args:
        logits: float32 (C, H, W); None where only `labels`, uint8 (H, W), are known: of pictures too large to hold
            logits, and of exported files that give labels alone.
        labels: class ids uint8 (H, W), 255 for void; None takes the most probable classes.
        probabilities: float32 (C, H, W), of exported files that give these instead of logits.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        label_spec: LabelSpec,
        *,
        logits: torch.Tensor | None = None,
        labels: NDArray[np.uint8] | None = None,
        probabilities: NDArray[np.float32] | None = None,
        source: str | None = None,
        notes: tuple[str, ...] = (),
        problems: tuple[Problem, ...] = (),
    ) -> None:
        self.image, self.label_spec, self.source, self.notes = image, label_spec, source, notes
        self.problems = problems
        self._logits, self._labels, self._probabilities = logits, labels, probabilities

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the ids."""
        return self.label_spec.names

    @property
    def labels_only(self) -> bool:
        """True where there are neither logits nor probabilities."""
        return self._logits is None and self._probabilities is None

    @cached_property
    def logits(self) -> torch.Tensor:
        """Logits float32 (C, H, W), or the logarithms of the probabilities: the same up to a constant per pixel.

        Raises:
            UserError: only the labels are known.
        """
        if self._logits is not None:
            return self._logits
        return torch.from_numpy(self.probabilities).clamp_min(torch.finfo(torch.float32).tiny).log()

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """The most probable class of each pixel, ids uint8 (H, W)."""
        return self.logits.argmax(0).to(torch.uint8).numpy() if self._labels is None else self._labels

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities float32 (C, H, W), in 0..1, summing to 1 over C. Raises UserError: only labels are known."""
        if self._probabilities is not None:
            return self._probabilities
        if self._logits is None:
            raise no_probabilities(self.image.shape)
        return self._logits.softmax(0).numpy()

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of each pixel's label, float32 (H, W); 0 for void.

        Raises:
            UserError: only labels are known.
        """
        known = np.minimum(self.labels, self.label_spec.num_classes - 1)
        chosen = np.take_along_axis(self.probabilities, known[None].astype(np.intp), 0)[0]
        confidence: NDArray[np.float32] = np.where(self.labels < self.label_spec.num_classes, chosen, np.float32(0))
        return confidence

    def probability(self, name: str) -> NDArray[np.float32]:
        """Return the probability of a class, float32 (H, W). Raises UserError: no such class, or only labels."""
        probability: NDArray[np.float32] = self.probabilities[self.label_spec.id_of(name)]
        return probability

    def mask(self, name: str, *, threshold: float | None = None) -> NDArray[np.bool_]:
        """Return where a class is, bool (H, W).

        Args:
            threshold: 0..1; the class is then where its probability is at least this, instead of where its label is.

        Raises:
            UserError: there is no such class; a threshold where only labels are known.
        """
        if threshold is not None:
            return self.probability(name) >= threshold
        mask: NDArray[np.bool_] = self.labels == self.label_spec.id_of(name)
        return mask

    def select(self, *names: str, threshold: float | None = None) -> Result:
        """Return the result of some classes alone.

        All other pixels become background where there is a class of this name, the other one of two classes, or void
        (255).

        Args:
            names: the classes.
            threshold: as in `mask`; of one class only.

        Raises:
            UserError: there is no such class; a threshold for several classes, or where only labels are known.
        """
        require_one_for_threshold(names, threshold)
        if threshold is None:
            labels = selection_table(self.label_spec, names)[self.labels]
        else:
            class_id = self.label_spec.id_of(names[0])
            remainder = np.uint8(self.label_spec.remainder_of([class_id]))
            labels = np.where(self.mask(names[0], threshold=threshold), np.uint8(class_id), remainder)
        return Result(
            self.image,
            self.label_spec,
            logits=self._logits,
            labels=labels,
            probabilities=self._probabilities,
            source=self.source,
            notes=self.notes,
            problems=self.problems,
        )

    @cached_property
    def areas(self) -> dict[str, Area]:
        """The area of each class by its name, in the order of the ids, those included that are not there."""
        counts = np.bincount(self.labels.reshape(-1), minlength=256)
        return {name: Area(int(n), int(n) / self.labels.size) for name, n in zip(self.classes, counts, strict=False)}

    def polygons(
        self, *, simplify: float = 0.0, only: Sequence[str] | None = None, min_area: float = 0.0
    ) -> list[Region]:
        """Trace the connected areas of the classes.

        Points are x and y as COCO, labelme and CVAT count them: the upper left corner of the picture is (0, 0), its
        lower right one (W, H).

        Args:
            simplify: pixels by which outlines may be off, for fewer points. At 0 they run along the pixels' edges, and
                filling the polygons of a class gives back its mask exactly (`atonce.polygons.fill_polygons`).
            only: the classes; None takes all but background.
            min_area: areas of fewer pixels are left out.

        Raises:
            UserError: there is no such class.
        """
        regions = []
        for class_id in self._annotated(only):
            for polygon in trace_mask(self.labels == class_id, simplify=simplify, min_area=min_area):
                name = self.classes[class_id]
                regions.append(Region(exterior=polygon.exterior, holes=polygon.holes, name=name, class_id=class_id))
        return regions

    def _annotated(self, only: Sequence[str] | None) -> tuple[int, ...]:
        """The ids of the classes that annotations are made of: those asked for, or all but background."""
        if only is not None:
            return self.label_spec.ids_of(only)
        return tuple(i for i in range(self.label_spec.num_classes) if i != self.label_spec.background)

    def crop(self, name: str, *, margin: int = 0) -> Image.Image:
        """Cut a class out of the picture: RGBA, transparent where the class is not, as large as its bounding box.

        Args:
            margin: pixels beyond the bounding box, as far as the picture goes.

        Raises:
            UserError: there is no such class, or it is not in the picture.
        """
        mask = self.mask(name)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not rows.size:
            raise UserError(f"there is no {name} in this picture", "a class that is there, see `areas`")
        top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
        part = np.s_[top : int(rows[-1]) + 1 + margin, left : int(columns[-1]) + 1 + margin]
        alpha = mask[part].astype(np.uint8) * 255
        return Image.fromarray(np.concatenate([self.image[part], alpha[..., None]], axis=2))

    def overlay(
        self,
        opacity: float = 0.5,
        *,
        colours: Mapping[str, ColourName] | None = None,
        only: Sequence[str] | None = None,
    ) -> Image.Image:
        """Lay the classes' colours over the picture; where no class is painted, the picture stays as it is.

        Args:
            opacity: weight of the colours, 0..1.
            colours: other colours than the model's, by class: {"road": "#00ff00"} or {"road": (0, 255, 0)}.
            only: the classes that are painted; None paints all but background and those in black.

        Raises:
            UserError: there is no such class, or no such colour.
        """
        return OverlayBlender(self.label_spec, opacity, colours=colours, only=only).paint(self)

    def overlay_layer(
        self, *, colours: Mapping[str, ColourName] | None = None, only: Sequence[str] | None = None
    ) -> Image.Image:
        """Return what `overlay` lays over the picture, by itself: RGBA, transparent where nothing is painted.

        A viewer that shows it over the picture at some opacity shows the same as `overlay` at that opacity.

        Raises:
            UserError: as `overlay`.
        """
        blender = OverlayBlender(self.label_spec, colours=colours, only=only)
        table = np.concatenate([blender.colours, 255 * blender.painted[:, None].astype(np.uint8)], axis=1)
        table[~blender.painted] = 0
        return Image.fromarray(table[self.labels])

    def label_image(self, style: LabelStyle = "palette") -> Image.Image:
        """Return the labels as a picture.

        Args:
            style: "palette", ids as indices of a palette of the classes' colours (mode P); "grey", ids (L); "values",
                those of the user's masks (L, or I;16 where they are beyond 255); "colours" (RGB). Void is 255, the
                masks' own value, or black.

        Raises:
            UserError: no such style; the masks' values are not known; two classes have one colour.
        """
        if style == "values":
            table = self.label_spec.value_lookup()
            used = table if self._has_void else table[: self.label_spec.num_classes]
            return Image.fromarray((table if used.max() > 255 else table.astype(np.uint8))[self.labels])
        if style == "colours":
            require_distinct_colours(self.label_spec)
            return Image.fromarray(self.label_spec.colour(self.labels))
        if style not in LABEL_STYLES:
            remedy = did_you_mean(style, LABEL_STYLES)
            raise UserError(option("labels", style), f"one of {', '.join(LABEL_STYLES)}", remedy)
        picture = Image.fromarray(self.labels)
        if style == "palette":
            picture.putpalette(self.label_spec.lookup().flatten().tolist())
        return picture

    @property
    def _has_void(self) -> bool:
        return bool((self.labels >= self.label_spec.num_classes).any())

    def to_dict(self, *, simplify: float = 1.0, only: Sequence[str] | None = None) -> dict[str, Any]:
        """Return size, areas and polygons, ready for JSON.

        Args:
            simplify: pixels by which outlines may be off, see `polygons`.
            only: the classes whose polygons are given; None takes all but background.

        Returns:
            "picture" (the path, or None), "width", "height", "notes"; "classes": id, name, colour, pixels, share,
            confidence (mean probability where the class is; None where it is absent or nobody knows); "polygons": id,
            name, area, bbox (x, y, width, height), exterior, holes (points as [x, y]).

        Raises:
            UserError: there is no such class.
        """
        from atonce.inference.annotations import as_dict

        return as_dict(self, simplify=simplify, only=only)

    def to_json(self, *, simplify: float = 1.0, only: Sequence[str] | None = None, indent: int | None = None) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(simplify=simplify, only=only), ensure_ascii=False, indent=indent)

    def to_coco(
        self,
        *,
        file_name: str | None = None,
        image_id: int = 1,
        only: Sequence[str] | None = None,
        min_area: float = 0.0,
        compressed: bool = True,
    ) -> dict[str, Any]:
        """Return a COCO data set of this picture: an annotation with a run-length mask for each connected area.

        Args:
            file_name: the picture's; None takes that of `source`.
            image_id: the picture's id.
            only: the classes that are annotated; None takes all but background.
            min_area: areas of fewer pixels are left out.
            compressed: whether masks are run lengths as pycocotools compresses them, which is small and what its
                evaluation takes; or lists of numbers, which annotation tools read.

        Returns:
            "images", "annotations" and "categories"; the category of a class is its id + 1.

        Raises:
            UserError: there is no such class; `compressed` without the extra `coco`.
        """
        from atonce.inference.annotations import as_coco

        return as_coco(
            self, file_name=file_name, image_id=image_id, only=only, min_area=min_area, compressed=compressed
        )

    def to_labelme(
        self,
        *,
        image_path: str | None = None,
        simplify: float = 1.0,
        only: Sequence[str] | None = None,
        min_area: float = 0.0,
    ) -> dict[str, Any]:
        """Return what a labelme file holds: a polygon for each connected area, the large ones first.

        labelme knows no holes: they are joined to the outline by cuts of no width.

        Args:
            image_path: the picture as seen from where the file will lie; None takes the name of `source`.
            simplify, min_area: see `polygons`.
            only: the classes that are annotated; None takes all but background.

        Raises:
            UserError: there is no such class.
        """
        from atonce.inference.annotations import as_labelme

        return as_labelme(self, image_path=image_path, simplify=simplify, only=only, min_area=min_area)

    def save(self, path: str | Path) -> None:
        """Write the result to a file of the kind that its suffix says.

        .png: the label picture, ids with a palette. .jpg, .jpeg, .webp: the overlay. .json: `to_json`. .npy: the ids.
        .npz: labels, classes and, where they are known, probabilities.

        Raises:
            UserError: another suffix.
            DataError: it is the picture itself.
            StorageError: the file cannot be written.
        """
        path = Path(path)
        refuse_inputs([path], [Path(self.source)] if self.source else [], "save it under another name")
        suffix = path.suffix.lower()
        if suffix == ".png":
            write_atomically(path, self.label_image().save)
        elif suffix in (".jpg", ".jpeg", ".webp"):
            overlay = self.overlay()
            write_atomically(path, lambda temporary: overlay.save(temporary, quality=92))
        elif suffix == ".json":
            write_text(path, self.to_json(indent=1))
        elif suffix == ".npy":
            write_atomically(path, lambda temporary: np.save(temporary, self.labels))
        elif suffix == ".npz":
            arrays = {"labels": self.labels, "classes": np.array(self.classes)}
            arrays |= {} if self.labels_only else {"probabilities": self.probabilities}
            write_atomically(path, lambda temporary: np.savez_compressed(temporary, **cast("Any", arrays)))
        else:
            kinds = ".png (labels), .jpg, .webp (overlay), .json, .npy, .npz"
            raise UserError(f"{path} as a file for a result", f"one that ends in {kinds}")

    def __repr__(self) -> str:
        shares = sorted(((area.share, name) for name, area in self.areas.items() if area.pixels), reverse=True)
        found = listing((f"{name} {100 * share:.1f} %" for share, name in shares), 6)
        notes = "".join(f"; {note}" for note in self.notes)
        return f"<Result {self.image.shape[1]}x{self.image.shape[0]}: {found or 'void'}{notes}>"

    def _repr_png_(self) -> bytes:
        """Draw the overlay for a notebook."""
        picture, file = self.overlay(), io.BytesIO()
        picture.thumbnail((_NOTEBOOK_SIDE, _NOTEBOOK_SIDE))
        picture.save(file, "PNG")
        return file.getvalue()


def no_probabilities(shape: tuple[int, ...]) -> UserError:
    """Build the error for a picture of (H, W, 3) of which only the labels are known."""
    asked = option("probabilities", value=True)
    return UserError(
        f"of this picture ({shape[1]}x{shape[0]}) there are labels but no probabilities",
        remedy=f"export the model with {asked}; for huge pictures use `atonce predict` with {asked}",
    )


def require_one_for_threshold(names: Sequence[str], threshold: float | None) -> None:
    """Raise UserError unless a threshold is in 0..1 and of one class; there is no class at all; or there is none."""
    if threshold is None:
        if not names:
            raise UserError("no class to be selected", "one name at least")
        return
    if len(names) != 1:
        raise UserError(
            f"{option('threshold', threshold)} with {len(names)} classes", "one class", f"name it with {option('only')}"
        )
    if not 0 <= threshold <= 1:
        raise UserError(option("threshold", threshold), "a probability, 0 to 1")


def selection_table(spec: LabelSpec, names: Sequence[str]) -> NDArray[np.uint8]:
    """Return the table, uint8 (256,), from ids to those of the classes alone; see `Result.select`."""
    ids = spec.ids_of(names)
    table = np.full(256, spec.remainder_of(ids), np.uint8)
    table[list(ids)] = ids
    return table


def require_distinct_colours(spec: LabelSpec) -> None:
    """Raise UserError if two classes have one colour, so that pictures of colours could not be told apart."""
    seen: dict[tuple[int, int, int], str] = {}
    for name, colour in zip(spec.names, spec.palette, strict=True):
        if colour in seen:
            raise UserError(
                f"{seen[colour]} and {name} have the same colour {colour}",
                "a colour for each class",
                f"choose one with {option('colour', f'{name}=#00ff00')}",
            )
        seen[colour] = name


def blend(image: NDArray[np.uint8], colours: NDArray[np.uint8], opacity: float = 0.5) -> NDArray[np.uint8]:
    """Mix two uint8 (H, W, 3) pictures; where the colour is black (void), the picture stays as it is."""
    mixed = image * (1 - opacity) + colours * opacity
    return np.where(colours.any(2, keepdims=True), np.rint(mixed), image).astype(np.uint8)


class OverlayBlender:
    """Lay the colours of label maps over pictures, by a table that is three times as fast as `blend`.

    Not painted are void, background and classes in black: there the picture stays as it is. A class is painted in any
    case where it is named in `only`, or in `colours` without `only`.

    Args:
        opacity: weight of the colours, 0..1.
        colours: other colours than those of the classes, by name.
        only: the classes that are painted.

    Attributes:
        colours: uint8 (256, 3) RGB by id.
        painted: bool (256,), whether an id is painted.

    Raises:
        UserError: there is no such class, or no such colour; an opacity that is out of range.
    """

    def __init__(
        self,
        labels: LabelSpec,
        opacity: float = 0.5,
        *,
        colours: Mapping[str, ColourName] | None = None,
        only: Sequence[str] | None = None,
    ) -> None:
        given: Any = opacity
        if not (isinstance(given, Real) and given <= 1 and not given < 0):
            raise UserError(option("opacity", shortened(opacity)), "a weight, 0 to 1")
        self.colours = labels.with_colours(colours or {}).lookup()
        self.painted = np.zeros(256, bool)
        if only is not None:
            self.painted[list(labels.ids_of(only))] = True
        else:
            self.painted[:] = self.colours.any(1)
            if labels.background is not None:
                self.painted[labels.background] = False
            self.painted[list(labels.ids_of(colours or ()))] = True
        values = np.arange(256, dtype=np.uint8)[None, :, None]
        images = np.tile(values, (256, 1, 3))
        mixed = np.rint(images * (1 - opacity) + self.colours[:, None] * opacity).astype(np.uint8)
        mixed = np.where(self.painted[:, None, None], mixed, images)
        # Class, channel, value: (256, 3, 256).
        self._table = np.ascontiguousarray(mixed.transpose(0, 2, 1)).reshape(-1)
        self._channels = np.arange(3, dtype=np.int32) * 256

    def __call__(self, image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Blend uint8 (H, W, 3) RGB with the colours of label ids uint8 (H, W) -> uint8 (H, W, 3)."""
        indices = labels.astype(np.int32)[..., None] * 768 + self._channels
        indices += image
        return self._table.take(indices)

    def paint(self, result: Result) -> Image.Image:
        """Lay the colours over the picture of a result."""
        mixed = np.empty_like(result.image)
        for top in range(0, len(mixed), _BAND):
            rows = slice(top, top + _BAND)
            mixed[rows] = self(result.image[rows], result.labels[rows])
        return Image.fromarray(mixed)


def read_labels(picture: Image.Image, spec: LabelSpec, style: LabelStyle) -> NDArray[np.uint8]:
    """Read a picture of `Result.label_image` back: ids uint8 (H, W), 255 for void.

    Args:
        spec: the classes, with the colours that it was written in.
        style: the one that it was written in.
    """
    if style == "colours":
        flat = np.asarray(picture.convert("RGB")).astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
        codes = np.array(spec.palette, np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
        order = np.argsort(codes)
        index = np.minimum(np.searchsorted(codes[order], flat), len(codes) - 1)
        ids = order[index].astype(np.uint8)
        return np.where(codes[order][index] == flat, ids, np.uint8(IGNORE_INDEX))
    values = np.asarray(picture)
    if style != "values":
        return values.astype(np.uint8)
    table = np.full(1 << 16, IGNORE_INDEX, np.uint8)
    table[list(spec.mask_values)] = range(spec.num_classes)
    labels: NDArray[np.uint8] = table[values]
    return labels
