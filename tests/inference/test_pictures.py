"""Pictures in every form that a caller has: the same result."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from atonce import downloads
from atonce.errors import DataError
from atonce.inference import Predictor, Result, load, pictures
from atonce.inference.pictures import as_rgb
from tests.data import trees
from tests.hostile_servers import Answer, answering, endless, trickle, trickling_headers, wordy_redirect


@pytest.fixture(scope="module")
def segment(tiny_model: Path) -> Predictor:
    return load(tiny_model)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return trees.save(tmp_path / "street.png", trees.picture(0, (64, 48)))


def alpha(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image, np.full((*image.shape[:2], 1), 3, np.uint8)], axis=2)


FORMS = {
    "text": lambda path, image: str(path),
    "path": lambda path, image: path,
    "Pillow": lambda path, image: Image.open(path),
    "array": lambda path, image: image,
    "array with alpha": lambda path, image: alpha(image),
    "tensor": lambda path, image: torch.from_numpy(image).permute(2, 0, 1),
    "tensor with alpha": lambda path, image: torch.from_numpy(alpha(image)).permute(2, 0, 1),
    "tensor of floats": lambda path, image: torch.from_numpy(image).permute(2, 0, 1).float() / 255,
    "tensor with gradient": lambda path, image: (torch.from_numpy(image).permute(2, 0, 1) / 255).requires_grad_(),
    "bytes": lambda path, image: path.read_bytes(),
    "file": lambda path, image: path.open("rb"),
    "file in memory": lambda path, image: io.BytesIO(path.read_bytes()),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_picture_gives_the_same(
    segment: Predictor, path: Path, form: Callable[[Path, np.ndarray], Any]
) -> None:
    with Image.open(path) as picture:
        image = np.array(picture)
    given = form(path, image)
    np.testing.assert_array_equal(segment(given).labels, segment(image).labels)
    if hasattr(given, "close"):
        given.close()


def test_grey_tensors_are_grey_pictures() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
    for tensor in (torch.from_numpy(grey), torch.from_numpy(grey)[None], torch.from_numpy(grey).double() / 255):
        np.testing.assert_array_equal(as_rgb(tensor), np.stack([grey] * 3, 2))


def test_a_list_gives_a_list_and_a_generator_goes_on_as_it_is_asked(segment: Predictor, path: Path) -> None:
    taken = []

    def pictures() -> Iterator[Path]:
        for _ in range(3):
            taken.append(path)
            yield path

    results = segment([path, str(path)])
    assert [type(result) for result in results] == [Result, Result]
    assert segment([]) == []
    assert isinstance(segment((path,)), list)
    going = segment(pictures())
    assert not taken
    assert isinstance(next(going), Result)
    assert len(taken) == 1
    assert len(list(going)) == 2


def test_a_result_knows_its_file(segment: Predictor, path: Path) -> None:
    assert segment(path).source == str(path)
    assert segment(path.read_bytes()).source is None


WRONG = {
    "normalised": (
        torch.randn(3, 8, 8) * 3,
        r"a picture tensor of floats from -\S+ to \S+; expected floats of 0..1.*normalisation",
    ),
    "0..255 in floats": (torch.full((3, 8, 8), 200.0), r"floats from 200 to 200; .*divide by 255"),
    "NaN": (torch.full((3, 8, 8), torch.nan), "floats from nan to nan"),
    "a batch": (torch.zeros(2, 3, 8, 8), r"shape \(2, 3, 8, 8\); expected \(C, H, W\) .*list\(batch\)"),
    "channels last": (torch.zeros(8, 8, 3), r"shape \(8, 8, 3\); expected \(C, H, W\)"),
    "empty": (torch.zeros(3, 0, 8), r"shape \(3, 0, 8\)"),
    "integers": (torch.zeros(3, 8, 8, dtype=torch.int64), "dtype torch.int64; expected uint8"),
    "no picture": (b"<html>", r"the picture is a web page, not a picture"),
    "no bytes": (b"", r"the picture is empty \(0 bytes\)"),
    "text file": (io.StringIO("abc"), "a picture file that is open as text"),
    "an array of channels first": (
        np.zeros((3, 8, 9), np.uint8),
        r"shape \(3, 8, 9\); expected \(H, W, 3\).*give it as a tensor",
    ),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_picture_is_refused_in_one_line(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as told:
        as_rgb(given)
    assert "\n" not in str(told.value)


def test_truncated_bytes_are_refused(path: Path) -> None:
    with pytest.raises(DataError, match="the picture is a damaged picture"):
        as_rgb(path.read_bytes()[:-300])


def test_addresses_are_downloaded_only_where_that_is_asked_for(segment: Predictor, path: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(path.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/street.png"
        with pytest.raises(DataError, match=r"is an address, not a file; expected a file; ask for .*url=True"):
            segment(address)
        result = segment(address, url=True)
        np.testing.assert_array_equal(result.labels, segment(path).labels)
        assert result.source == address
        with pytest.raises(DataError, match=r"missing\.png cannot be downloaded \(the server says 404"):
            segment(address.replace("street", "missing"), url=True)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (endless, r"it sends more than 1048576 bytes\); expected .* of at most 1 MiB"),
        (trickle, r"it is too slow: its next 64 KiB take more than 0\.5 s"),
        (trickling_headers, r"it is too slow"),
        (wordy_redirect, r"it is too slow|redirect"),
    ],
)
def test_a_download_is_bounded(answer: Answer, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes and in time, whatever is sent: a socket's own timeout begins anew with each byte."""
    monkeypatch.setattr(pictures, "_LARGEST_DOWNLOAD", 1 << 20)
    if answer is not endless:
        monkeypatch.setattr(downloads, "PATIENCE", 0.5)
    with answering(answer) as address, pytest.raises(DataError, match=told):
        as_rgb(f"{address}/street.png", url=True)
