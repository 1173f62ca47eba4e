"""Uploads that no server should fall for: each gets one line, and the server goes on."""

from __future__ import annotations

import gzip
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from atonce.data.images import format_names
from atonce.errors import DataError
from atonce.inference.pixel_limit import PixelLimit
from atonce.serving import decoding, responses
from atonce.serving.jpeg_scans import MAX_SCANS, has_too_many_scans
from atonce.serving.request_errors import RequestError
from tests.pictures import encoded, noise
from tests.serving.live import BOUNDARY, FORM, Live, form

PICTURE = encoded(noise(40, 40))


def png(width: int, height: int, content: bytes = b"", more: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


def gif_bomb() -> bytes:
    """A screen of 1x1, a frame of 60000x60000."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0) + b"\x08\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame + b";"


def tiff_bomb() -> bytes:
    """One pixel, in a tile of 30000x30000."""
    data = zlib.compress(bytes(2_000_000))
    entries = [
        (256, 3, 1), (257, 3, 1), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1),
        (322, 4, 30000), (323, 4, 30000), (324, 4, 8), (325, 4, len(data)),
    ]  # fmt: skip
    ifd = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, kind, 1, v) for tag, kind, v in entries)
    return b"II*\x00" + struct.pack("<I", 8 + len(data)) + data + ifd + bytes(4)


def many_scans(count: int, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    file = encoded(noise(16, 16), "JPEG", progressive=True)
    last = file.rindex(b"\xff\xda")
    return file[:-2] + (between + file[last:-2]) * count + file[-2:]


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(noise(20, 20, seed)) for seed in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def after_the_beginning(file: bytes, more: bytes, at: int) -> bytes:
    return file[:at] + more + file[at:]


AFTER_IHDR, AFTER_SOI = 33, 2
PROFILE = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))


def zipped() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("picture.png", bytes(10_000_000))
    return file.getvalue()


def with_text(size: int) -> bytes:
    data = b"Comment\x00\x00" + zlib.compress(bytes(size))
    return png(
        4, 4, bytes(52), struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    )


UPLOADS: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "nothing": (lambda: b"", 422, "empty"),
    "text": (lambda: b"#!/bin/sh\nrm -rf /\n", 415, "is not a picture"),
    "a web page": (lambda: b"<!DOCTYPE html><script>alert(1)</script>", 415, "is a web page"),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', 415, "is not a picture"),
    "EPS": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "is not a picture"),
    "PDF": (lambda: b"%PDF-1.7\n", 415, "is not a picture"),
    "ICO": (lambda: encoded(noise(32, 32), "ICO"), 415, "is not a picture"),
    "JPEG 2000": (lambda: encoded(noise(32, 32), "JPEG2000"), 415, "is not a picture"),
    "a zip bomb": (zipped, 415, "is not a picture"),
    "a gzipped picture": (lambda: gzip.compress(PICTURE), 415, "is not a picture"),
    "random bytes": (lambda: noise(50, 50).tobytes(), 415, "is not a picture"),
    "the beginning of a PNG": (lambda: PICTURE[:20], 422, "cannot be read"),
    "half a PNG": (lambda: PICTURE[: len(PICTURE) // 2], 422, "cannot be read"),
    "half a JPEG": (lambda: encoded(noise(40, 40), "JPEG")[:900], 422, "truncated"),
    "half a TIFF": (lambda: encoded(noise(40, 40), "TIFF", compression="tiff_lzw")[:900], 422, "damaged"),
    "half a WebP": (lambda: encoded(noise(40, 40), "WEBP")[:300], 422, ""),
    "a PNG of other pixels than it says": (lambda: png(100, 100, bytes(10)), 422, "cannot be read"),
    "a PNG without pixels": (lambda: png(0, 7), 422, ""),
    "a PNG bomb": (lambda: png(30_000, 30_000, bytes(1_000_000)), 413, "30000x30000 pixels (900.0 megapixels)"),
    "a PNG beyond Pillow's own limit": (lambda: png(2**31 - 1, 2**31 - 1), 413, "too large"),
    "a GIF bomb": (gif_bomb, 413, "too large"),
    "a TIFF bomb": (tiff_bomb, 422, "tiles of 30000x30000"),
    "a JPEG of many scans": (lambda: many_scans(200), 422, "too many scans"),
    "text bombs in a PNG": (lambda: with_text(100_000_000), 422, "cannot be read"),
    "a PNG of empty chunks": (
        lambda: after_the_beginning(PICTURE, chunk(b"abCd") * 20_000, AFTER_IHDR), 422, "a PNG of more than 10000 chunks"
    ),
    "a PNG of colour profiles": (lambda: after_the_beginning(PICTURE, PROFILE * 101, AFTER_IHDR), 422, "colour profiles"),
    "a JPEG of empty segments": (
        lambda: after_the_beginning(encoded(noise(8, 8), "JPEG"), b"\xff\xe5\0\x02" * 20_000, AFTER_SOI), 422,
        "a JPEG of more than 10000 segments",
    ),
    "a JPEG of lone markers": (
        lambda: after_the_beginning(encoded(noise(8, 8), "JPEG"), b"\xff\xd0" * 20_000, AFTER_SOI), 422, "segments"
    ),
    "a JPEG of filling": (
        lambda: after_the_beginning(encoded(noise(8, 8), "JPEG"), b"\xff" * 20_000, AFTER_SOI), 422, "segments"
    ),
    "a JPEG of junk": (
        lambda: after_the_beginning(encoded(noise(8, 8), "JPEG"), b"\xff\xe5\0\x02" + b"a" * 20_000, AFTER_SOI), 422,
        "segments",
    ),
    "a PPM of a long comment": (lambda: b"P6\n#" + b"a" * 70_000 + b"\n1 1\n255\nabc", 422, "a PPM whose size"),
    "a PPM of spaces": (lambda: b"P6 1 1" + b" " * 70_000 + b"255\nabc", 422, "a PPM whose size"),
    "one pixel too many": (lambda: encoded(Image.new("L", (200_001, 1))), 413, "at most 0.2 megapixels"),
    "67 bytes of work for minutes": (lambda: png(1, 190_000, bytes(10)), 413, "1x190000 pixels, of which the network makes 6.1"),
    "a PGM as text": (lambda: b"P2 1 1 1 " + b"#\n" * 6000 + b"1", 422, "a PPM as text"),
    "an animated GIF": (lambda: animated("GIF"), 415, "an animated GIF; expected one picture"),
    "an animated PNG": (lambda: animated("PNG"), 415, "an animated PNG"),
    "an animated WebP": (lambda: animated("WEBP"), 415, "an animated WEBP"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "status", "text"), UPLOADS.values(), ids=UPLOADS)
def test_hostile_pictures(live: Live, make: Callable[[], bytes], status: int, text: str) -> None:
    file = make()
    for reply in (live.send(file), live.post(file)):
        assert reply.status == status, reply.body
        assert text in reply.error
    assert live.send(PICTURE).status == 200


def test_a_grey_picture_of_another_maximum_is_decoded_at_once(live: Live) -> None:
    # Pillow takes each value one by one, 20 seconds for 25 MB.
    values = np.random.default_rng(0).integers(0, 2, (400, 500), np.uint8)
    reply = live.send(b"P5 500 400 1\n" + values.tobytes(), "format=labels")
    assert reply.status == 200
    np.testing.assert_array_equal(reply.labels, live.send(encoded(values * 255), "format=labels").labels)
    # The limits of this server are below those from which on slow files are refused.
    for file in (b"P2 2000 1000 1\n", rle_bitmap(2000, 1000)):
        with pytest.raises(RequestError, match=r"2\.0 megapixels; expected at most 1 of each; export it as PNG"):
            decoding.decode_picture(file, PixelLimit(live.service.predictor.model_file, 25_000_000))


def rle_bitmap(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 4, 0, 0, 1, 0)
    return b"BM" + struct.pack("<IHHI", 62, 0, 0, 58) + header + bytes(4) + b"\x00\x01"


def test_any_damage_is_told_in_one_line(live: Live) -> None:
    rng = np.random.default_rng(0)
    kinds: dict[str, dict[str, Any]] = {
        "PNG": {},
        "JPEG": {"progressive": True},
        "TIFF": {"compression": "tiff_lzw"},
        "WEBP": {},
        "GIF": {},
        "BMP": {},
    }
    refused = 0
    for kind, options in kinds.items():
        whole = np.frombuffer(encoded(noise(24, 24), kind, **options), np.uint8)
        for _ in range(12):
            broken = whole.copy()
            positions = rng.integers(0, min(len(broken), 400), rng.integers(1, 12))
            broken[positions] = rng.integers(0, 256, len(positions))
            reply = live.send(broken.tobytes())
            assert reply.status in (200, 413, 415, 422), (kind, reply.body)
            if reply.status != 200:
                assert reply.error
                refused += 1
    assert refused > 20, "the damage is too small to be noticed"


def test_the_formats_that_are_read_are_named_alike_everywhere(live: Live) -> None:
    names = "PNG, JPEG, TIFF, BMP, WebP, PPM (or PGM, PBM) or GIF"
    assert live.send(b"#!/bin/sh").error == f"the file is not a picture; expected {names}"
    assert format_names(decoding.FORMATS) == names
    assert live.ask("GET", "/model").json["limits"]["formats"] == [*decoding.FORMATS]
    page = " ".join((Path(__file__).parents[2] / "docs" / "serve.md").read_text("utf-8").split())
    assert f"{names.replace('TIFF', 'TIFF (its first page)').replace(' or GIF', ' and GIF')} are read" in page
    (accepted,) = re.findall(r'accept="([^"]*)"', live.ask("GET", "/").body.decode())
    kinds = {kind.removeprefix("image/").removeprefix(".") for kind in accepted.split(",")}
    assert {name.lower() for name in decoding.FORMATS} | {"pgm", "pbm"} == kinds


def test_a_mode_without_meaning_is_told(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    # Which modes these are depends on Pillow's version.
    def refuse(_: object) -> None:
        raise DataError("a picture of mode LAB", "RGB, grey, palette or CMYK", "export it as RGB")

    monkeypatch.setattr(decoding, "to_rgb", refuse)
    reply = live.send(PICTURE)
    assert reply.status == 415
    assert reply.error.startswith("a picture of mode LAB; expected RGB")


def test_scans_are_counted_where_they_are(live: Live) -> None:
    assert not has_too_many_scans(many_scans(MAX_SCANS - 20))
    assert has_too_many_scans(many_scans(MAX_SCANS + 1))
    # Phones append films, in which the same two bytes stand by chance.
    assert not has_too_many_scans(encoded(noise(16, 16), "JPEG") + b"\xff\xda" * 1000)
    assert live.send(encoded(noise(16, 16), "JPEG") + b"\xff\xda" * 1000).status == 200
    # An end of the picture hidden in a table or behind a marker that no encoder writes ends nothing.
    assert has_too_many_scans(many_scans(MAX_SCANS + 1, b"\xff\xfe\x00\x04\xff\xd9"))
    assert has_too_many_scans(many_scans(MAX_SCANS + 1, b"\xff\x02\x00\x04\xff\xd9"))


FORMS: dict[str, tuple[bytes, int, str]] = {
    "another field": (form(("image", PICTURE)), 422, "the field 'image'; expected 'picture'"),
    "two pictures": (form(("picture", PICTURE), ("picture", PICTURE)), 422, "'picture' twice"),
    "a thousand fields": (form(*[("x", b"1")] * 1000), 422, "the field 'x'"),
    "no field": (f"--{BOUNDARY}--\r\n".encode(), 422, "no field 'picture'"),
    "no end": (form(("picture", PICTURE))[:-30], 422, "ends early"),
    "no form": (b"picture", 422, "not the multipart/form-data that it says it is"),
    "an endless header": (b"--a7b3\r\nX: " + b"y" * 20_000, 422, "the multipart/form-data"),
    "a field without a name": (b"--a7b3\r\nX: y\r\n\r\nz\r\n--a7b3--\r\n", 422, "the field ''"),
}


@pytest.mark.parametrize(("body", "status", "text"), FORMS.values(), ids=FORMS)
def test_hostile_forms(live: Live, body: bytes, status: int, text: str) -> None:
    reply = live.send(body, kind=FORM)
    assert reply.status == status
    assert text in reply.error


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ({"Content-Type": "text/plain"}, 415, "a body of type text/plain; expected the field 'picture'"),
        ({}, 415, "without Content-Type"),
        ({"Content-Type": "multipart/form-data"}, 422, "without a boundary"),
        ({"Content-Type": f"multipart/form-data; boundary={'x' * 300}"}, 422, "not the multipart"),
        ({"Content-Type": "image/png", "Content-Encoding": "gzip"}, 415, "Content-Encoding gzip"),
    ],
)
def test_other_bodies(live: Live, headers: dict[str, str], status: int, text: str) -> None:
    reply = live.ask("POST", "/predict", PICTURE, headers)
    assert reply.status == status
    assert text in reply.error


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("format=exe", "format: "),
        ("opacity=2", "opacity: "),
        ("opacity=nan", "opacity: "),
        ("labels=maybe", "labels: "),
        ("fromat=labels", "the parameter 'fromat'; expected one of format, opacity, simplify, labels, layer"),
    ],
)
def test_wrong_parameters(live: Live, query: str, text: str) -> None:
    reply = live.send(PICTURE, query)
    assert reply.status == 422
    assert text in reply.error


def test_a_file_that_is_too_large_by_its_own_word(live: Live) -> None:
    # Not a byte of it has been sent when the answer comes.
    with live.open() as client:
        head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 300001\r\n"
        client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_file_that_grows_too_large(live: Live) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 4_000_000:
            sent += 65536
            yield bytes(65536)

    reply = live.ask("POST", "/predict", endless(), {"Content-Type": "image/png"})
    assert reply.status == 413
    assert reply.error.startswith("the file is too large; expected at most 0.3 MB")


def test_the_limit_is_the_files_and_not_the_forms(live: Live) -> None:
    assert live.post(PICTURE + bytes(300_000 - len(PICTURE))).status == 200
    assert live.post(PICTURE + bytes(300_001 - len(PICTURE))).status == 413
    assert live.send(PICTURE + bytes(300_001 - len(PICTURE))).status == 413


def test_probabilities_that_would_fill_the_memory(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "MAX_PROBABILITIES", 11 * 40 * 40)
    assert live.send(PICTURE, "format=probabilities").status == 200
    reply = live.send(encoded(noise(40, 41)), "format=probabilities")
    assert reply.status == 413
    assert "probabilities of 11 classes for 41x40 pixels" in reply.error


def test_a_fault_of_ours_is_told_without_its_insides(
    live: Live, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("secret")

    monkeypatch.setattr(live.service, "_segment", fail)
    reply = live.send(PICTURE)
    assert reply.status == 500
    assert "secret" not in reply.error
    assert reply.headers["x-content-type-options"] == "nosniff"
    monkeypatch.undo()
    assert live.send(PICTURE).status == 200


def test_too_little_memory_is_no_fault(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(live.service, "_segment", fail)
    reply = live.send(PICTURE)
    assert reply.status == 413
    assert "not enough memory for 40x40 pixels" in reply.error
