"""From the bytes of a request to the bytes of an answer, around one Predictor."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.requests import Request

from atonce.inference import Predictor, Result, load
from atonce.inference.finished_results import model_fingerprint
from atonce.serving.decoding import FORMATS, decode
from atonce.serving.limits import Limits, Memory
from atonce.serving.refusal import Refusal
from atonce.serving.request_queue import Desk, Visit
from atonce.serving.responses import MEDIA_TYPES, Answer, Format, Wanted, check_probabilities, class_table, encode
from atonce.serving.upload import picture_file, read_body
from atonce.version import __version__


class Service:
    """A network, its queue and its limits.

    Args:
        path: of the model's file.
    """

    def __init__(self, predictor: Predictor, path: Path, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.model = {"file": path.name, "fingerprint": model_fingerprint(path)}
        self.desk, self.memory = Desk(limits.queue), Memory(limits)

    @classmethod
    def from_file(
        cls, path: Path, device: str | None = None, engine: str | None = None, limits: Limits | None = None
    ) -> Service:
        """Raises as `Predictor.from_file`."""
        return cls(load(path, device=device, engine=engine), path, limits or Limits())

    async def predict(self, request: Request, wanted: Wanted) -> Answer:
        """Raises: Refusal, or Abandoned when the client has gone."""
        # Before the body is read, and again when it has been.
        self.desk.check()
        with self.memory.uploads.open() as holding:
            body = await read_body(request, self.limits.upload_bytes, holding)
            kind = request.headers["content-type"]
            content, headers = await self.desk.serve(request, lambda visit: self._work(visit, body, kind, wanted))
        return Answer(content, self.memory.answers, MEDIA_TYPES[wanted.format], headers)

    def warm_up(self) -> None:
        """One small picture: what is loaded or compiled with the first one, and what may be wrong, shows now."""
        file = BytesIO()
        Image.new("RGB", (64, 64)).save(file, "PNG")
        self.desk.now(lambda visit: self._work(visit, file.getvalue(), "image/png", Wanted(Format.JSON, 0.5, True)))

    def _work(self, visit: Visit, body: bytes, kind: str, wanted: Wanted) -> tuple[bytes, dict[str, str]]:
        """In a thread: decode, segment, encode."""
        visit.go_on()
        visit.done("queue")
        image = decode(picture_file(body, kind, self.limits.upload_bytes), self.limits.pixels)
        if wanted.format is Format.PROBABILITIES:
            check_probabilities(len(self.predictor.classes), image.shape[:2])
        visit.done("decode")
        try:
            result = visit.with_network(lambda: self._segment(image, visit))
            visit.done("network")
            about = {"model": self.model, "engine": self.predictor.engine, "milliseconds": visit.milliseconds}
            content = encode(result, wanted, about)
        except (MemoryError, RuntimeError) as error:
            if not _is_memory(error):
                raise
            size = f"{image.shape[1]}x{image.shape[0]}"
            raise Refusal(413, f"there is not enough memory for {size} pixels", remedy="scale it down") from error
        visit.done("encode")
        timing = ", ".join(f"{step};dur={value}" for step, value in visit.milliseconds.items())
        headers = {"Server-Timing": timing}
        if wanted.format is Format.PROBABILITIES:
            headers["Content-Disposition"] = 'attachment; filename="probabilities.npy"'
        return content, headers

    def _segment(self, image: Any, visit: Visit) -> Result:
        result = self.predictor(image, visit.go_on)
        # Computed with the first use, which belongs to the network's turn.
        _ = result.labels
        return result

    def describe(self) -> dict[str, Any]:
        """The model, without what its file says of the machine and the folders where it was trained."""
        told = self.predictor.model_file.describe()
        kept = ("atonce_version", "architecture", "skip_scales", "preprocessing", "input_size", "scores")
        data = {
            "model": self.model,
            "classes": class_table(self.predictor.labels),
            "ignore_index": told["labels"]["ignore_index"],
            **{key: told[key] for key in kept},
            "engine": self.predictor.engine,
            "device": str(self.predictor.device),
            "server_version": __version__,
            "limits": {"upload_bytes": self.limits.upload_bytes, "pixels": self.limits.pixels, "formats": FORMATS},
        }
        # A model's file may hold numbers that are none, which JSON does not know.
        cleaned: dict[str, Any] = json.loads(json.dumps(data), parse_constant=lambda _: None)
        return cleaned


def _is_memory(error: Exception) -> bool:
    """torch says so in one of several ways, ONNX Runtime in words only."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "allocate" in text or "bad_alloc" in text
