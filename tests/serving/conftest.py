"""The tiny network, served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
pytest.importorskip("python_multipart", reason="the extra `serve` is not installed")
pytest.importorskip("prometheus_client", reason="the extra `serve` is not installed")

from atonce.serving.limits import Limits
from tests.serving.live import Live, serving


# Not for the whole session: its thread would meet the clocks that other tests put in the place of time.monotonic.
@pytest.fixture(scope="package")
def live(tiny_model: Path) -> Iterator[Live]:
    with serving(tiny_model, Limits(upload_bytes=300_000, pixels=200_000)) as found:
        yield found
