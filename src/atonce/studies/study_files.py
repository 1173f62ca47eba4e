"""The output of a study: table.md, table.csv, table.json and report.html, from whatever runs are over."""

from __future__ import annotations

from pathlib import Path

from atonce.errors import DataError
from atonce.reports.run_files import read_run_files
from atonce.storage import write_text
from atonce.studies.study_folder import read_description, run_folder
from atonce.studies.study_page import render_page
from atonce.studies.study_table import to_csv, to_json, to_markdown


def write_study_files(out: Path) -> str:
    """Write the tables and the page of the study in `out`; return the table as Markdown.

    Raises:
        DataError: there is no study in the folder, or a file in it is damaged.
        StorageError: they cannot be written.
    """
    study = read_description(out)
    if study is None:
        raise DataError(f"{out} holds no study", "what `atonce ablate` writes into a folder")
    results = study.results(out)
    markdown = to_markdown(study, results)
    write_text(out / "table.md", markdown)
    write_text(out / "table.csv", to_csv(study, results))
    write_text(out / "table.json", to_json(study, results))
    sources = {(r.variant, r.seed): read_run_files(run_folder(out, r.variant, r.seed)) for r in results}
    write_text(out / "report.html", render_page(study, results, sources))
    return markdown
