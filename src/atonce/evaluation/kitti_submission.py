"""Submissions to the KITTI road benchmark: a zip of confidences seen from above, one PNG a picture.

Source: the benchmark's development kit (Fritsch, Kuehnl, Geiger, ITSC 2013): 8-bit grey PNG, 400 x 800 pixels, named
after category and number (um_road_000000.png), in the root of the zip.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.images import FileError, read_image
from atonce.data.pairing import images_in
from atonce.errors import DataError, StorageError
from atonce.evaluation.kitti_scores import ROAD, RoadSegmenter, camera_file_of, require_camera_files
from atonce.inference.load import Model, load
from atonce.inference.segmenter import Segmenter
from atonce.metrics.kitti_road.birds_eye import BirdsEye
from atonce.metrics.kitti_road.road_evaluator import confidence_bytes
from atonce.model_location import require_model_first
from atonce.progress import ProgressCallback, shown_as
from atonce.remote import local_copy, require_local
from atonce.storage import make_folder, refuse_foreign, write_atomically
from atonce.text import listing

_NAME = re.compile(r"(um|umm|uu)_(\d{6})")
_ENTRY = re.compile(r"(um|umm|uu)_(road|lane)_\d{6}\.png")
_CATEGORIES = {"road": ("um", "umm", "uu"), "lane": ("um",)}

_TESTING = {"um": 96, "umm": 94, "uu": 100}
"""Pictures of each category in the benchmark's data_road/testing."""


@dataclass(frozen=True)
class TestingPictures:
    """The pictures of a submission.

    Attributes:
        entries: (name in the zip, picture), sorted.
        left_out: names of pictures that have no category of this ground truth.
        kind: the ground truth, "road" or "lane".
    """

    entries: tuple[tuple[str, Path], ...]
    left_out: tuple[str, ...]
    kind: str

    @property
    def all(self) -> int:
        """The number of pictures that a whole submission of this ground truth has."""
        return sum(_TESTING[category] for category in _CATEGORIES[self.kind])

    @property
    def missing(self) -> int:
        """The number of pictures that a whole submission has beside these."""
        return max(0, self.all - len(self.entries))

    def to_json(self) -> dict[str, Any]:
        """Return what `atonce submit` prints as JSON; the page "The command line" explains the keys, and they stay."""
        entries = [{"name": name, "picture": str(picture)} for name, picture in self.entries]
        left_out = list(self.left_out)
        return {"ground_truth": self.kind, "entries": entries, "left_out": left_out, "missing": self.missing}


def find_testing(root: Path, kind: str) -> TestingPictures:
    """List the pictures of data_road/testing, given that folder or data_road.

    Args:
        kind: "road", or "lane", of which the benchmark has um_lane only.

    Raises:
        DataError: no such folder, no pictures, or one that is not named as the benchmark's.
    """
    candidates = (root / "testing", root / "data_road" / "testing", root)
    folder = next((path for path in candidates if (path / "image_2").is_dir()), None)
    if folder is None:
        raise DataError(f"{root} holds no image_2/", "data_road or data_road/testing of the KITTI road benchmark")
    pictures, problems = images_in(folder / "image_2")
    if problems:
        raise FileError(problems[0])
    strange = [name for name in pictures if not _NAME.fullmatch(name)]
    if strange or not pictures:
        found = f"pictures named {listing(strange)}" if strange else "no pictures"
        raise DataError(f"{folder / 'image_2'} holds {found}", "um_000000.png, umm_000000.png, uu_000000.png, ...")
    groups = {name: name.partition("_")[0] for name in sorted(pictures)}
    chosen = [name for name, group in groups.items() if group in _CATEGORIES[kind]]
    if not chosen:
        raise DataError(f"{folder / 'image_2'} holds no picture for {kind}", f"one of {', '.join(_CATEGORIES[kind])}")
    entries = tuple((f"{name.replace('_', f'_{kind}_')}.png", pictures[name]) for name in chosen)
    return TestingPictures(entries, tuple(name for name in groups if name not in chosen), kind)


def submit(
    model: Model,
    data: str | PathLike[str],
    *,
    out: str | PathLike[str] = "submission.zip",
    ground_truth: Literal["road", "lane"] | None = None,
    device: str | None = None,
    progress: bool | ProgressCallback = True,
) -> TestingPictures:
    """Write what the KITTI road benchmark takes: confidences of road seen from above, one PNG a picture, in a zip.

    Args:
        model: a run folder, a model file, an exported file, what `train` returned, or a `Predictor`.
        data: data_road/testing of the benchmark, or data_road.
        out: the zip to write.
        ground_truth: "road" or "lane"; None takes what the model was trained on, or else the road.
        device: see `load`.
        progress: whether a bar is drawn; or a function called with (done, total).

    Returns:
        The pictures that went in, those left out, and the kind of ground truth.

    Raises:
        UserError: as `find_testing` and `write_submission`.
    """
    require_model_first(model, [data], "submit")
    out = require_local(out)
    predictor = load(model, device=device)
    trained_on = predictor.model_file.recipe.get("data", {}).get("ground_truth")
    pictures = find_testing(local_copy(data), ground_truth or trained_on or "road")
    with shown_as("predicting", progress=progress) as bar:
        write_submission(predictor, pictures.entries, out, progress=bar)
    return pictures


def write_submission(
    segmenter: Segmenter,
    entries: Sequence[tuple[str, Path]],
    out: Path,
    *,
    progress: ProgressCallback | None = None,
) -> None:
    """Predict, look from above, write the zip: all of it or nothing. The same model gives the same bytes.

    Raises:
        WeightsError: the network has no class named road.
        DataError: a camera calibration is missing or damaged, `out` is there and no submission of ours (both before
            anything is predicted), or a picture is damaged.
        StorageError: `out` cannot be written.
    """
    road = RoadSegmenter(segmenter)
    require_camera_files([picture for _, picture in entries])
    if out.is_dir():
        raise StorageError(f"{out} is a folder", "a file to write", f"for example {out / 'submission.zip'}")
    refuse_foreign(out, _is_submission)
    make_folder(out.parent)

    def write(temporary: Path) -> None:
        # PNG is compressed already.
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for done, (name, picture) in enumerate(entries, 1):
                entry = zipfile.ZipInfo(name)  # not the name alone: that would put the time of day into the file
                entry.external_attr = 0o644 << 16  # or else unzip makes files that nobody may read
                archive.writestr(entry, _png(confidence_from_above(road, picture)))
                if progress:
                    progress(done, len(entries))

    write_atomically(out, write)


def _is_submission(path: Path) -> bool:
    """Tell whether a file is a zip as it is written here: the names of the benchmark, stored, without a time."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile:
        return False
    written_here = (zipfile.ZIP_STORED, zipfile.ZipInfo("").date_time)
    return bool(entries) and all(
        _ENTRY.fullmatch(entry.filename) and (entry.compress_type, entry.date_time) == written_here for entry in entries
    )


def confidence_from_above(road: RoadSegmenter, picture: Path) -> NDArray[np.uint8]:
    """Predict a picture, seen from above: levels of the probability of road, uint8 (800, 400), 0 where unseen.

    Raises:
        DataError: picture or camera calibration missing or damaged.
    """
    confidence = road(read_image(picture)).probabilities[ROAD]
    return confidence_bytes(BirdsEye.from_calibration(camera_file_of(picture))(confidence))


def _png(confidence: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(confidence).save(stream, "PNG")
    return stream.getvalue()
