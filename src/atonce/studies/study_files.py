"""The files of a study: table.md, table.csv, table.json and report.html, from whatever runs are over."""

from __future__ import annotations

from pathlib import Path

from atonce.errors import DataError
from atonce.reports.run_files import read_run_files
from atonce.storage import write_text
from atonce.studies.records import read_description
from atonce.studies.study_page import render
from atonce.studies.table import to_csv, to_json, to_markdown


def write_study(out: Path) -> str:
    """Write the tables and the page of the study in `out`; returns the table as Markdown.

    Raises:
        DataError: there is no study in the folder, or a file in it is damaged.
        StorageError: they cannot be written.
    """
    study = read_description(out)
    if study is None:
        raise DataError(f"{out} holds no study", "what `atonce ablate` writes into a folder")
    records = study.records(out)
    markdown = to_markdown(study, records)
    write_text(out / "table.md", markdown)
    write_text(out / "table.csv", to_csv(study, records))
    write_text(out / "table.json", to_json(study, records))
    sources = {(r.variant, r.seed): read_run_files(out / r.variant / f"seed-{r.seed}") for r in records}
    write_text(out / "report.html", render(study, records, sources))
    return markdown
