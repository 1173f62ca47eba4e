"""A report on a telephone: a browser lays it out, nothing is cut off at the right, and no label is broken in mid-word."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from atonce.reports import write_report
from tests.reports import run_folders

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# The page is in a frame, since a window is 500 pixels wide at least.
PAGE = """<iframe src="report.html" style="border:0;width:WIDTHpx;height:900px"></iframe><pre id="found"></pre><script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument, all = (what) => [...page.querySelectorAll(what)];
  const lines = (one) => { const r = page.createRange(); r.selectNodeContents(one); return r.getClientRects().length; };
  const hidden = (one) => Math.max(0, one.scrollWidth - one.clientWidth);
  document.getElementById("found").textContent = JSON.stringify({
    cut: ["#classes .scroll", "#classes .scroll th", "#versions .scroll", "html"].map((one) => Math.max(...all(one).map(hidden))),
    broken: all("#versions th, #over-steps b").filter((one) => !/[ ]/.test(one.textContent) && lines(one) > 1)
      .map((one) => one.textContent),
  });
};</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
@pytest.mark.parametrize("width", [340, 420, 500, 700, 1280])
def test_nothing_is_cut_off_or_broken_in_mid_word(width: int, tmp_path: Path) -> None:
    run_folders.write_run(tmp_path)
    path = tmp_path / "evaluation.json"
    for name, other in (
        ("rest", "background"),
        ("pole", "traffic sign"),
        ("boat", "a boat, or something else that swims"),
    ):
        path.write_text(path.read_text().replace(json.dumps(name), json.dumps(other)))
    evaluation = json.loads(path.read_text())
    for one in evaluation["classes"]:
        one["boundary_f1"] = 0.8123
    path.write_text(json.dumps(evaluation))
    run_folders.write_metrics(tmp_path, names=[one["name"] for one in evaluation["classes"]])
    run_folders.write_about(tmp_path, torch="2.13.0+cpu", device="NVIDIA H100 80GB HBM3, driver 580.95.05 " * 2)
    write_report(tmp_path)
    (tmp_path / "page.html").write_text(PAGE.replace("WIDTH", str(width)))
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--window-size=1400,1000"]
    done = subprocess.run(
        [
            str(CHROMIUM),
            *words,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r'<pre id="found">(\{.*?\})</pre>', done.stdout)
    assert found, done.stderr
    assert json.loads(unescape(found[1])) == {"cut": [0, 0, 0, 0], "broken": []}
