"""`Predictor`, what `atonce.load` returns: any picture size in, labels of the same size out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import torch
from numpy.typing import NDArray

from atonce.data.image_checks import image_problems
from atonce.data.images import Problem
from atonce.data.problem_notes import problem_notes
from atonce.devices import describe_device
from atonce.errors import as_python, option
from atonce.inference.pictures import Picture, as_rgb, is_address, source_of
from atonce.inference.pixel_limit import MAX_MEGAPIXELS, PixelLimit
from atonce.inference.size_note import size_note
from atonce.inference.tiles import Block
from atonce.progress import ProgressCallback
from atonce.text import count_of

if TYPE_CHECKING:
    from atonce.inference.result import Result
    from atonce.inference.video.overlay import VideoReport
    from atonce.labels import ColourName, LabelSpec
    from atonce.model import FCN
    from atonce.model_file import ModelFile


class Predictor(ABC):
    """A network ready for use: call it with a picture of any size, get a `Result` of the same size.

    `atonce.load` makes one: a `NetworkPredictor` of a model file, or an `ExportedPredictor` of an exported file. Both
    are used in the same way, in folders, videos, evaluation and the server.

    Attributes:
        model_file: the description of the network: labels, input size, recipe, scores, training data.
        model: the network; of an exported file its layers without their weights, which only the engine holds.
        labels: names and colours of the classes, in the order of their ids.
        engine: what computes: "torch", "torch-bf16", "onnxruntime", "openvino" or "openvino-bf16".
        device: where torch computes; the CPU for other engines.
    """

    model_file: ModelFile
    model: FCN
    labels: LabelSpec
    engine: str
    device: torch.device

    def __repr__(self) -> str:
        classes = count_of(len(self.classes), "class", "classes")
        return f"<{type(self).__name__} of {classes} on {self.device}, engine {self.engine}>"

    @property
    def hardware(self) -> str:
        """The device and the engine, for people: "on cpu (2 threads), torch"."""
        return f"on {describe_device(self.device)}, {self.engine}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their ids."""
        return self.labels.names

    @property
    def gives_probabilities(self) -> bool:
        """True unless it is an exported file that gives labels alone."""
        return True

    # An open file could be iterated over, too; it is a picture.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, picture: Picture, progress: ProgressCallback | None = None, *, url: bool = False
    ) -> Result: ...

    @overload
    def __call__(
        self,
        picture: list[Picture] | tuple[Picture, ...],
        progress: ProgressCallback | None = None,
        *,
        url: bool = False,
    ) -> list[Result]: ...

    @overload
    def __call__(
        self, picture: Iterator[Picture], progress: ProgressCallback | None = None, *, url: bool = False
    ) -> Iterator[Result]: ...

    def __call__(
        self,
        picture: Picture | Iterable[Picture],
        progress: ProgressCallback | None = None,
        *,
        url: bool = False,
    ) -> Result | list[Result] | Iterator[Result]:
        """Segment a picture, or several.

        Args:
            picture: a path; a Pillow picture; an array uint8 (H, W, 3) RGB, (H, W) grey or (H, W, 4), whose alpha is
                dropped; a tensor (3, H, W), (1, H, W) or (4, H, W), uint8 or floats of 0..1; the bytes of a file, or an
                open one. A list or tuple of these gives a list of results; an iterator or generator gives an iterator,
                which takes a picture when its result is asked for.
            progress: called with the tiles done and all tiles, where the picture is so large that there are tiles.
            url: whether a text that begins with `http://` or `https://` is downloaded; else it is refused.

        Returns:
            A `Result` of the picture's size, or a list or iterator of them.

        Raises:
            DataError: the picture cannot be read or downloaded, or an array has another shape, dtype or range; it has,
                or the network would make of it, more than 500 megapixels.
        """
        if isinstance(picture, (list, tuple)):
            return [self._predict(one, progress, url=url) for one in picture]
        if isinstance(picture, Iterator) and not hasattr(picture, "read"):
            return (self._predict(one, progress, url=url) for one in picture)
        return self._predict(picture, progress, url=url)  # type: ignore[arg-type]

    def _predict(self, picture: Picture, progress: ProgressCallback | None, *, url: bool) -> Result:
        bands = self.model_file.bands
        image = as_rgb(picture, bands=bands, url=url)
        self.require_few_pixels(image.shape[:2], source_of(picture) or "the picture given")
        result = self.segment(image, progress)
        problems: Sequence[Problem] = ()
        if isinstance(picture, (str, PathLike)) and not is_address(picture):
            problems = image_problems(Path(picture), image, bands)
        return self.annotated(result, source_of(picture), problems)

    def annotated(self, result: Result, source: str | None, problems: Sequence[Problem]) -> Result:
        """Put into a result where its picture came from, and what its reader should know."""
        note = self.size_note(result.image.shape[:2])
        result.source, result.problems = source, tuple(problems)
        result.notes = tuple(map(as_python, (*((note,) if note else ()), *problem_notes(result.problems))))
        return result

    def size_note(self, size: tuple[int, ...]) -> str | None:
        """Say if pictures of (height, width) are much smaller or larger than those that the network was trained on.

        None where they are not, or where the model file does not say on which it was trained. The option that mends it
        is marked, see `atonce.errors.option`.
        """
        return size_note(self.model_file, size)

    def require_few_pixels(self, size: tuple[int, ...], name: object) -> None:
        """Raise DataError where a picture of (height, width), or what the network computes for it, is larger than what
        `atonce.predict` takes where it is told no other limit."""
        remedy = f"scale it down, or load the model with a smaller {option('scale')} or {option('size')}"
        PixelLimit(self.model_file, round(MAX_MEGAPIXELS * 1e6), remedy).require(size[0], size[1], name)

    @abstractmethod
    def segment(self, image: NDArray[np.uint8], progress: ProgressCallback | None = None) -> Result:
        """Segment one picture uint8 (H, W, 3) RGB; `progress` as in a call."""

    def segment_together(self, images: Sequence[NDArray[np.uint8]]) -> list[Result]:
        """Segment pictures of one size, uint8 (H, W, 3) RGB each, with the results of `segment`."""
        return [self.segment(image) for image in images]

    @abstractmethod
    def predict_labels(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Segment a batch of pictures of one size: uint8 (N, H, W, 3) RGB -> label ids uint8 (N, H, W).

        The labels are those of one picture at a time, up to the rounding of floats; together it is faster.
        `batch_size_for` says how many pictures a batch may hold.
        """

    @abstractmethod
    def batch_size_for(self, size: tuple[int, ...]) -> int:
        """Return how many pictures of `size`, (height, width), take as much memory as the largest single one may."""

    @abstractmethod
    def logits(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Compute logits: uint8 (H, W, 3) RGB -> float32 (C, H, W) on the CPU, the picture in one piece."""

    @abstractmethod
    def blocks(self, image: NDArray[np.uint8], progress: ProgressCallback | None = None) -> Iterator[Block]:
        """Yield the logits of uint8 (H, W, 3) RGB part by part, so that memory is bounded by a tile.

        Raises:
            UserError: the engine gives whole results only.
        """

    def frames(self, video: str | Path) -> Iterator[tuple[float, Result]]:
        """Yield a video's frames, upright, each as its time in seconds and its result; one is held at a time.

        Raises:
            DataError: not a video, or broken.
            UserError: the extra `video` is not installed.
        """
        from atonce.inference.video.reader import Video

        with Video(Path(video)) as opened:
            for frame in opened.frames():
                yield float(frame.time), self(frame.image)

    def video(
        self,
        source: str | Path,
        out: str | Path,
        opacity: float = 0.5,
        *,
        colours: Mapping[str, ColourName] | None = None,
        only: Sequence[str] | None = None,
        audio: bool = True,
    ) -> VideoReport:
        """Write a video with the classes' colours laid over it; `predict_video` has more options and the errors.

        Args:
            opacity: weight of the colours, 0..1.
            colours, only: see `Result.overlay`.
            audio: whether the sound is copied.
        """
        from atonce.inference.video.overlay import predict_video

        return predict_video(self, Path(source), Path(out), opacity=opacity, colours=colours, only=only, audio=audio)
