"""The tables and the page of a study."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from atonce.errors import DataError
from atonce.studies import load_study, plan_runs, run_sequentially, write_study_files
from atonce.studies.study_folder import read_result
from tests.studies.tiny_studies import save_description
from tests.tiny import tiny_recipe


def test_tables_and_page_say_what_the_runs_say(street_data: Path, tmp_path: Path) -> None:
    planned = plan_runs(load_study("stride"), tiny_recipe(), 2, tmp_path)
    save_description(planned, "stride", street_data, tmp_path)
    with pytest.raises(DataError, match="holds no study"):
        write_study_files(tmp_path / "elsewhere")
    assert "| 8s | 0 of 2 | – |" in write_study_files(tmp_path), "before the first run, too"
    run_sequentially(planned[:4], street_data, commit="abc")
    write_study_files(tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    records = [read_result(run.folder) for run in planned[:4]]
    pairs = {(r.variant, r.seed): r.mean_iou for r in records if r}
    table = json.loads((tmp_path / "table.json").read_text("utf-8"))
    rows = {row["variant"]: row for row in table["variants"]}
    difference = pairs["16s", 0] - pairs["32s", 0]
    assert rows["16s"]["differences"]["mean_iou"] == {
        "n": 1,
        "mean": pytest.approx(difference),
        "low": None,
        "high": None,
    }
    assert rows["32s"]["spreads"]["mean_iou"]["n"] == 2
    assert len(table["runs"]) == 4
    with (tmp_path / "table.csv").open(encoding="utf-8") as file:
        lines = {line["variant"]: line for line in csv.DictReader(file)}
    assert float(lines["32s"]["mean_iou_mean"]) == pytest.approx((pairs["32s", 0] + pairs["32s", 1]) / 2)
    assert lines["8s"]["mean_iou_std"] == ""
    markdown = (tmp_path / "table.md").read_text("utf-8")
    for text in ("commit abc", "Seeds 0, 1", "`atonce ablate & co`", "1 of 2"):
        assert text in markdown
    assert page.count("<svg") == 4 and "atonce ablate &amp; co" in page and "<script" not in page
    assert 'href="32s/seed-1/report.html"' in page
