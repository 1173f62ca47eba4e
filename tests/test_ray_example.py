"""The example of docs/scale.md with Ray Data, in local mode."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.inference import load
from tests.data import trees
from tests.tiny import ENVIRONMENT

SCRIPT = Path(__file__).parents[1] / "docs" / "ray_pictures.py"


@pytest.mark.skipif(not (find_spec("ray") and find_spec("pyarrow")), reason="needs ray[data]: not installed")
def test_ray_writes_the_labels_that_atonce_predict_writes_and_says_what_is_broken(
    tiny_model: Path, tmp_path: Path
) -> None:
    for number in range(4):
        trees.save(tmp_path / "in" / f"{number}.png", trees.picture(number, (40, 30)))
    (tmp_path / "in" / "broken.png").write_text("not a picture")
    words = [sys.executable, str(SCRIPT), str(tiny_model), str(tmp_path / "in"), str(tmp_path / "out")]
    # A cluster of this process alone, on a machine that may be busy.
    ray = {"RAY_AUTH_MODE": "disabled", "RAY_agent_register_timeout_ms": "300000", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, env={**ENVIRONMENT, **ray})
    assert done.returncode == 0, done.stderr[-3000:]
    predictor = load(tiny_model)
    for number in range(4):
        with Image.open(tmp_path / "out" / f"{number}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), predictor(tmp_path / "in" / f"{number}.png").labels)
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(tmp_path / "out" / "areas").to_pylist()
    assert {Path(row["picture"]).name: bool(row["error"]) for row in rows} == {
        "0.png": False, "1.png": False, "2.png": False, "3.png": False, "broken.png": True,
    }  # fmt: skip
    pixels = {Path(row["picture"]).name: sum(row[name] for name in predictor.classes) for row in rows}
    assert pixels == {"0.png": 1200, "1.png": 1200, "2.png": 1200, "3.png": 1200, "broken.png": 0}


@pytest.mark.skipif(not find_spec("ray"), reason="needs ray[data]: not installed")
def test_a_worker_writes_a_label_picture_and_goes_on_when_one_is_broken(tiny_model: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("ray_pictures", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    picture = trees.save(tmp_path / "street.png", trees.picture(0, (40, 30)))
    worker = module.Segment(str(tiny_model), str(tmp_path / "out"))
    row = worker({"path": str(picture), "bytes": picture.read_bytes()})
    assert (row["error"], sum(row[name] for name in worker.segment.classes)) == ("", 1200)
    with Image.open(tmp_path / "out" / "street.png") as labels:
        np.testing.assert_array_equal(np.asarray(labels), load(tiny_model)(picture).labels)
    broken = worker({"path": "s3://bucket/broken.png", "bytes": b"not a picture"})
    assert "is not a picture" in broken["error"]
    assert not (tmp_path / "out" / "broken.png").exists()


def test_the_page_shows_lines_of_the_script_as_they_are() -> None:
    page = (SCRIPT.parent / "scale.md").read_text("utf-8")
    (block,) = (text for text in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if "ray.data" in text)
    shown = [line.strip() for line in block.splitlines() if line.strip() and not line.strip().startswith("...")]
    script = [line.strip() for line in SCRIPT.read_text("utf-8").splitlines()]
    assert len(shown) > 5
    assert [line for line in script if line in shown] == shown
    assert len(script) <= 36
