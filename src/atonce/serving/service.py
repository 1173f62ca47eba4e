"""The service: from the bytes of a request to the bytes of its response, around one Predictor."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.requests import Request

from atonce.inference import Predictor, Result, load
from atonce.inference.finished_results import model_fingerprint
from atonce.inference.pixel_limit import PixelLimit
from atonce.serving.decoding import FORMATS, decode_picture
from atonce.serving.limits import ClientMemory, Limits
from atonce.serving.request_errors import RequestError
from atonce.serving.request_queue import QueuedRequest, RequestQueue
from atonce.serving.responses import (
    MEDIA_TYPES,
    DeadlineResponse,
    ResponseFormat,
    ResponseOptions,
    class_table,
    encode_result,
    require_probabilities_fit,
)
from atonce.serving.upload import extract_picture, read_body
from atonce.version import __version__

OnSteps = Callable[[Mapping[str, float]], None]
"""Is called with the milliseconds of each step of a picture that was segmented, in the picture's thread."""


def _ignore_steps(milliseconds: Mapping[str, float]) -> None:
    """Do nothing, where nobody counts."""


class Service:
    """A network, its queue and its limits.

    Args:
        path: the model's file.
    """

    def __init__(self, predictor: Predictor, path: Path, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.model = {"file": path.name, "fingerprint": model_fingerprint(path)}
        self._pixel_limit = PixelLimit(predictor.model_file, limits.pixels)
        self.queue, self.memory = RequestQueue(limits.queue), ClientMemory(limits)

    @classmethod
    def from_file(
        cls, path: Path, *, device: str | None = None, engine: str | None = None, limits: Limits | None = None
    ) -> Service:
        """Load a model file or a file of `atonce export`. Raises the errors of `load`."""
        return cls(load(path, device=device, engine=engine), path, limits or Limits())

    async def predict(
        self, request: Request, options: ResponseOptions, on_steps: OnSteps = _ignore_steps
    ) -> DeadlineResponse:
        """Segment the picture in a request.

        Raises:
            RequestError: the request is refused.
            ClientDisconnected: the client has gone.
        """
        # Before the body is read, and again when it has been.
        self.queue.require_capacity()
        with self.memory.uploads.reserve() as reservation:
            body = await read_body(request, self.limits.upload_bytes, reservation)
            content_type = request.headers["content-type"]
            content, headers = await self.queue.run(
                request, lambda queued: self._process(queued, body, content_type, options, on_steps=on_steps)
            )
        return DeadlineResponse(content, self.memory.responses, media_type=MEDIA_TYPES[options.format], headers=headers)

    def stop(self) -> None:
        """Refuse whoever waits or comes from now on, since the server is about to end."""
        self.queue.stop()

    def warm_up(self) -> None:
        """Segment one small picture: what is loaded or compiled with the first one, or may fail, does so now."""
        file = BytesIO()
        Image.new("RGB", (64, 64)).save(file, "PNG")
        options = ResponseOptions(with_labels=True)
        self.queue.run_immediately(lambda queued: self._process(queued, file.getvalue(), "image/png", options))

    def _process(
        self,
        queued: QueuedRequest,
        body: bytes,
        content_type: str,
        options: ResponseOptions,
        *,
        on_steps: OnSteps = _ignore_steps,
    ) -> tuple[bytes, dict[str, str]]:
        """Decode, segment, encode; called in a thread of its own. Returns the response's body and headers."""
        queued.raise_if_disconnected()
        queued.finish_step("queue")
        image = decode_picture(extract_picture(body, content_type, self.limits.upload_bytes), self._pixel_limit)
        if options.format is ResponseFormat.PROBABILITIES:
            require_probabilities_fit(len(self.predictor.classes), image.shape[:2])
        queued.finish_step("decode")
        try:
            result = queued.run_on_network_thread(lambda: self._segment(image, queued))
            queued.finish_step("network")
            about = {"model": self.model, "engine": self.predictor.engine, "milliseconds": queued.milliseconds}
            content = encode_result(result, options, about)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            size = f"{image.shape[1]}x{image.shape[0]}"
            raise RequestError(413, f"there is not enough memory for {size} pixels", remedy="scale it down") from error
        queued.finish_step("encode")
        on_steps(queued.milliseconds)
        timing = ", ".join(f"{step};dur={value}" for step, value in queued.milliseconds.items())
        headers = {"Server-Timing": timing}
        if options.format is ResponseFormat.PROBABILITIES:
            headers["Content-Disposition"] = 'attachment; filename="probabilities.npy"'
        return content, headers

    def _segment(self, image: Any, queued: QueuedRequest) -> Result:
        """Run the network; between two tiles of a large picture, stop if the client has gone."""
        result: Result = self.predictor(image, queued.raise_if_disconnected)
        # Computed with the first use, which belongs on the network's thread.
        _ = result.labels
        return result

    def describe(self) -> dict[str, Any]:
        """Describe the model, without what its file says of the machine and the folders where it was trained."""
        described = self.predictor.model_file.describe()
        kept = ("atonce_version", "architecture", "skip_scales", "preprocessing", "input_size", "scores")
        data = {
            "model": self.model,
            "classes": class_table(self.predictor.labels),
            "ignore_index": described["labels"]["ignore_index"],
            **{key: described[key] for key in kept},
            "engine": self.predictor.engine,
            "device": str(self.predictor.device),
            "server_version": __version__,
            "limits": {"upload_bytes": self.limits.upload_bytes, "pixels": self.limits.pixels, "formats": FORMATS},
        }
        # A model's file may hold NaN or infinity, which JSON does not know.
        cleaned: dict[str, Any] = json.loads(json.dumps(data), parse_constant=lambda _: None)
        return cleaned


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error means that memory is full: torch says so in several ways, ONNX Runtime in words only."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "allocate" in text or "bad_alloc" in text
