"""The files of `atonce predict` for programs and annotation tools: coco.json, cvat.zip, areas.csv, labelme/ and json/.

All of it follows from the label pictures, so that it is complete whoever made these, and when. What a person has
corrected since is never overwritten.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from atonce.errors import UserError, option
from atonce.inference.annotations import (
    TABLE_COLUMNS,
    as_coco,
    as_dict,
    as_labelme,
    categories,
    class_confidences,
    labelme_digest,
    table_rows,
)
from atonce.inference.cvat_masks import (
    CvatPicture,
    can_go_on,
    draw_masks,
    is_own_archive,
    require_names,
    write_archive,
)
from atonce.inference.inputs import Job
from atonce.inference.own_results import SOFTWARE
from atonce.inference.result import Result
from atonce.labels import LabelSpec
from atonce.storage import make_folder, write_atomically, write_text
from atonce.text import did_you_mean, shortened
from atonce.untrusted_files import LARGEST_LIST, parse_json, read_json, read_table

AnnotationKind = Literal["coco", "cvat", "labelme", "json", "csv"]
ANNOTATION_KINDS: tuple[str, ...] = get_args(AnnotationKind)

_PATHS = {"coco": "coco.json", "cvat": "cvat.zip", "labelme": "labelme/", "json": "json/", "csv": "areas.csv"}


def annotation_path(kind: str) -> str:
    """Return the file, or the folder of files, that annotations of a kind are written to, below the results."""
    return _PATHS[kind]


CONFIDENCES_KEY = "atonce confidences"
"""Key, among the texts of a label picture, of the mean probability of each class, as JSON."""

_Rows = list[dict[str, Any]]


def parse_confidences(text: str | None, spec: LabelSpec) -> list[float | None] | None:
    """Read what stands under `CONFIDENCES_KEY`; None where nothing does.

    Raises:
        ValueError: it is no list of a number of 0..1, or null, for each class.
    """
    if text is None:
        return None
    values = parse_json(text)
    if not isinstance(values, list) or len(values) != spec.num_classes:
        raise ValueError(f"the text '{CONFIDENCES_KEY}' is no list of {spec.num_classes} numbers")
    if not all(value is None or (type(value) in (int, float) and 0 <= value <= 1) for value in values):
        raise ValueError(f"the text '{CONFIDENCES_KEY}' has a value that is no probability")
    return values


def require_kinds(kinds: Sequence[str]) -> None:
    """Raise UserError if one of them is no `AnnotationKind`."""
    for kind in kinds:
        if kind not in ANNOTATION_KINDS:
            remedy = did_you_mean(kind, ANNOTATION_KINDS)
            raise UserError(option("write", kind), f"one of {', '.join(ANNOTATION_KINDS)}", remedy)


@dataclass(frozen=True)
class Entries:
    """A picture's part of the files of all pictures: coco.json, areas.csv, cvat.zip; None where they are not wanted.

    Attributes:
        lacks_confidence: whether confidences were asked for, and only the labels are known.
    """

    coco: dict[str, Any] | None = None
    rows: _Rows | None = None
    cvat: CvatPicture | None = None
    lacks_confidence: bool = False


class AnnotationFiles:
    """The files of one call of `predict`.

    Args:
        out: the folder of the results.
        kinds: what is written.
        spec: the classes.
        only: those that are annotated; None takes all but background.
        simplify: pixels by which outlines in labelme/ and json/ may be off.
        min_area: areas of fewer pixels are left out, but for areas.csv.
    """

    def __init__(
        self,
        out: Path,
        kinds: Sequence[str],
        spec: LabelSpec,
        *,
        only: Sequence[str] | None = None,
        simplify: float = 1.0,
        min_area: float = 0.0,
    ) -> None:
        require_kinds(kinds)
        self._out, self._kinds, self._spec = out, frozenset(kinds), spec
        self._only, self._simplify, self._min_area = only, simplify, min_area
        self._coco: dict[str, dict[str, Any]] = {}
        self._cvat: dict[str, CvatPicture] = {}
        self._rows: dict[str, _Rows] = {}

    @property
    def wants_confidences(self) -> bool:
        """True where something is written that tells how sure the network is."""
        return bool(self._kinds & {"json", "csv"})

    def require_names(self, jobs: Sequence[Job]) -> None:
        """Raise UserError where pictures or classes have names that what is asked for cannot hold."""
        if "cvat" in self._kinds:
            require_names(self._spec, [job.name for job in jobs if not job.is_video])

    def targets(self, jobs: Sequence[Job]) -> list[Path]:
        """Return all files that may be written of some pictures, those of all pictures among them."""
        kinds = [kind for kind in ("labelme", "json") if kind in self._kinds]
        files = [self._path(kind, job) for kind in kinds for job in jobs if not job.is_video]
        return files + [self._out / _PATHS[kind] for kind in sorted(self._kinds.difference(kinds))]

    def require_unchanged(self, jobs: Sequence[Job]) -> None:
        """Refuse to write over what is not ours, or what a person has corrected.

        Args:
            jobs: those that are about to be done, once more perhaps.

        Raises:
            UserError: there is such a file.
        """
        for job in jobs if "labelme" in self._kinds else ():
            path = self._path("labelme", job)
            if path.exists() and not _is_unchanged_labelme(path):
                raise _refusal(path, "was changed since it was written, or is not of atonce")
        for job in jobs if "json" in self._kinds else ():
            path = self._path("json", job)
            if path.exists() and "atonce" not in _read_json(path):
                raise _refusal(path, "is not of atonce")
        coco, archive, table = (self._out / _PATHS[kind] for kind in ("coco", "cvat", "csv"))
        if "coco" in self._kinds and coco.exists():
            _require_coco(coco, _read_json(coco))
        if "cvat" in self._kinds and archive.exists():
            if not is_own_archive(archive):
                raise _refusal(archive, "is not of atonce")
            if not can_go_on(archive, self._spec):
                raise _refusal(archive, "is of other classes, or damaged")
        if "csv" in self._kinds and table.exists():
            _read_table(table)

    def write(
        self, job: Job, result: Result, *, confidences: Sequence[float | None] | None = None, new: bool
    ) -> Entries:
        """Write the files of one picture, and return what goes into those of all, for `collect`.

        May be called by several threads at once.

        Args:
            confidences: by class, where the result does not know its probabilities any more.
            new: whether it was segmented in this call; else only files that are missing are written.

        Raises:
            StorageError: a file cannot be written.
        """
        lacks_confidence = self.wants_confidences and confidences is None and result.labels_only
        if self.wants_confidences and confidences is None and not lacks_confidence:
            confidences = class_confidences(result)
        path = self._path("labelme", job)
        if "labelme" in self._kinds and (new or not path.exists()):
            make_folder(path.parent)
            picture = Path(os.path.relpath(job.source.absolute(), path.parent.absolute())).as_posix()
            data = as_labelme(
                result, image_path=picture, simplify=self._simplify, only=self._only, min_area=self._min_area
            )
            data["atonce"] = {"shapes": labelme_digest(data)}
            write_text(path, json.dumps(data, ensure_ascii=False, indent=1))
        path = self._path("json", job)
        if "json" in self._kinds and (new or not path.exists()):
            make_folder(path.parent)
            data = as_dict(
                result,
                simplify=self._simplify,
                only=self._only,
                min_area=self._min_area,
                picture=job.name,
                confidences=confidences,
            )
            write_text(path, json.dumps({"atonce": SOFTWARE, **data}, ensure_ascii=False))
        coco = None
        if "coco" in self._kinds:
            coco = as_coco(result, file_name=job.name, only=self._only, min_area=self._min_area, compressed=False)
        cvat = draw_masks(result, only=self._only, min_area=self._min_area) if "cvat" in self._kinds else None
        rows = table_rows(result, job.name, confidences) if "csv" in self._kinds else None
        return Entries(coco, rows, cvat, lacks_confidence)

    def collect(self, job: Job, entries: Entries) -> None:
        """Remember what goes into the files of all pictures, in the order of the calls."""
        if entries.coco is not None:
            self._coco[job.name] = entries.coco
        if entries.rows is not None:
            self._rows[job.name] = entries.rows
        if entries.cvat is not None:
            self._cvat[job.name] = entries.cvat

    def finish(self, *, overwrite: bool = False) -> None:
        """Write the files of all pictures; entries of others than those of this call stay.

        Args:
            overwrite: whether these are left out.

        Raises:
            StorageError: a file cannot be written.
        """
        if self._coco:
            path = self._out / "coco.json"
            before = _read_json(path) if path.exists() and not overwrite else {}
            write_text(path, json.dumps(self._merged_coco(before), ensure_ascii=False))
        if self._cvat:
            path = self._out / "cvat.zip"
            earlier = path if path.exists() and not overwrite else None
            write_atomically(path, lambda temporary: write_archive(temporary, self._spec, self._cvat, before=earlier))
        if self._rows:
            path = self._out / "areas.csv"
            rows = _read_table(path) if path.exists() and not overwrite else []
            kept = [row for row in rows if row["picture"] not in self._rows]
            text = io.StringIO()
            writer = csv.DictWriter(text, TABLE_COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows([*kept, *(row for rows in self._rows.values() for row in rows)])
            write_text(path, text.getvalue())

    def _merged_coco(self, before: dict[str, Any]) -> dict[str, Any]:
        images = [image for image in before.get("images", ()) if image["file_name"] not in self._coco]
        kept = {image["id"] for image in images}
        annotations = [one for one in before.get("annotations", ()) if one["image_id"] in kept]
        image_id = max(kept, default=0)
        number = max((one["id"] for one in annotations), default=0)
        for data in self._coco.values():
            image_id += 1
            images.append({**data["images"][0], "id": image_id})
            for one in data["annotations"]:
                number += 1
                annotations.append({**one, "id": number, "image_id": image_id})
        info = {"description": "segmented by atonce", "contributor": SOFTWARE}
        known = {entry["id"]: entry for entry in [*before.get("categories", ()), *categories(self._spec, self._only)]}
        listed = [known[key] for key in sorted(known)]
        return {"info": info, "images": images, "annotations": annotations, "categories": listed}

    def _path(self, kind: str, job: Job) -> Path:
        return self._out / kind / job.target.with_name(job.target.name + ".json")


def _refusal(path: Path, found: str) -> UserError:
    return UserError(
        f"{path} {found}",
        "a place for new annotations",
        f"move it away, choose another {option('out')}, or replace it with {option('overwrite', value=True)}",
    )


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where the file is something else."""
    try:
        data = read_json(path, LARGEST_LIST)
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _is_unchanged_labelme(path: Path) -> bool:
    data = _read_json(path)
    try:
        return bool(data["atonce"]["shapes"] == labelme_digest(data))
    except (KeyError, TypeError, AttributeError, RecursionError):
        return False


_OF_COCO: Mapping[str, Mapping[str, type]] = {
    "images": {"id": int, "file_name": str},
    "annotations": {"id": int, "image_id": int},
    "categories": {"id": int},
}
"""The lists of coco.json, and what each entry of them must have to be gone on with."""


def _require_coco(path: Path, data: dict[str, Any]) -> None:
    """Raise UserError where coco.json is not ours, or has been edited so that nothing can be added to it."""
    info = data.get("info")
    if not isinstance(info, dict) or info.get("contributor") != SOFTWARE:
        raise _refusal(path, "is not of atonce")
    for name, keys in _OF_COCO.items():
        entries = data.get(name, [])
        if not isinstance(entries, list):
            raise _refusal(path, f"is damaged: {name} is no list")
        for place, entry in enumerate(entries):
            for key, kind in keys.items():
                if not isinstance(entry, dict) or type(entry.get(key)) is not kind:
                    told = "whole number" if kind is int else "text"
                    raise _refusal(path, f"is damaged: {name}[{place}] has no {key} that is a {told}")


def _read_table(path: Path) -> _Rows:
    """Read the rows of areas.csv. Raises UserError: it is some other file, or damaged."""
    try:
        columns, rows = read_table(path, LARGEST_LIST)
    except (OSError, ValueError) as error:
        raise _refusal(path, f"is damaged ({error})") from None
    if tuple(columns) != TABLE_COLUMNS:
        raise _refusal(path, "is not of atonce")
    for row in rows:
        if None in row or None in row.values():
            told = shortened(row["picture"])
            raise _refusal(path, f"is damaged: a row of {told} has more or fewer than {len(columns)} cells")
    return rows
