"""The doctor's page: findings, classes per split, samples with mask overlays; one file that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from atonce.doctor.examination import Examination, class_weights_override
from atonce.doctor.findings import Finding, relative_path
from atonce.doctor.page_images import samples_section, similar_pairs_section, suspicious_masks_section
from atonce.errors import as_command_line, option
from atonce.reports.html_document import document
from atonce.reports.number_format import percent
from atonce.reports.score_tables import swatch
from atonce.storage import make_folder, refuse_foreign, write_text
from atonce.untrusted_files import read_beginning

_MAX_FILES = 12
"""The most files of a finding that the page names."""

# CSS beyond style.css: severities, and bars of several splits below each other.
_STYLE = """
.finding { display: grid; grid-template-columns: 6rem 1fr; gap: 0 1rem; padding: 0.8rem 0;
  border-bottom: 1px solid var(--line); }
.finding:last-child { border-bottom: 0; }
.finding p { margin: 0; overflow-wrap: anywhere; white-space: pre-line; }
.finding .do { color: var(--muted); }
.finding ul { margin: 0.3rem 0; font-size: 0.9rem; overflow-wrap: anywhere; }
.finding > b { font-size: 0.85rem; font-weight: 600; text-transform: uppercase; letter-spacing: 0.05em; }
.error > b { color: rgb(var(--miss)); }
.warning > b { color: var(--two); }
.note > b { color: var(--muted); font-weight: 400; }
.classes.splits .share, .classes.splits thead th.share { text-align: left; padding-left: 1.6rem; width: 34%; }
.classes .share b { display: inline-block; width: 3.6rem; font-weight: 500; }
.classes .share .bar { width: calc(100% - 3.8rem); }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 0.4rem 1.6rem; }
.samples.wide { grid-template-columns: 1fr; }
h1.healthy { color: var(--three); }
h1.wrong { color: rgb(var(--miss)); }
@media (max-width: 640px) { .finding { grid-template-columns: 1fr; } .classes .share .bar { width: 3.6rem; } }
"""


_TITLE = " · atonce doctor"
"""The end of the window's title, by which an earlier page is known."""


def require_page_path(path: str | Path) -> None:
    """Raise DataError where `path` is a file that is no earlier page of the doctor: it would be overwritten."""
    refuse_foreign(Path(path), _is_page)


def _is_page(path: Path) -> bool:
    return _TITLE.encode() in read_beginning(path, 4096)


def write_page(examination: Examination, path: str | Path) -> None:
    """Write the page of an examination, with everything inline.

    Raises:
        DataError: there is a file that is no earlier page of the doctor.
        StorageError: it cannot be written.
    """
    path = Path(path)
    require_page_path(path)
    make_folder(path.parent)
    write_text(path, render(examination))


def render(examination: Examination) -> str:
    """Return the whole document; whatever comes from a file is escaped."""
    sections = [
        ("findings", "Findings", _findings(examination)),
        ("classes", "Classes", _classes(examination)),
        ("samples", "Samples", samples_section(examination)),
        ("alike", "Alike in two splits", similar_pairs_section(examination)),
        ("suspects", "Masks to look at", suspicious_masks_section(examination)),
        ("weights", "Class weights", _class_weights(examination.class_weights())),
        ("file", "Classes file", _classes_file(examination)),
    ]
    shown = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in shown)
    body = "".join(f'<section id="{anchor}"><h2>{title}</h2>{inner}</section>\n' for anchor, title, inner in shown)
    kind, verdict = _verdict(examination)
    header = f"""<p class="eyebrow">atonce · doctor · {escape(str(examination.root))}</p>
<h1 class="{kind}">{verdict}</h1>
{_tiles(examination)}
<nav aria-label="Sections">{links}</nav>"""
    return document(f"{escape(examination.root.resolve().name)}{_TITLE}", header, body, _STYLE)


def _verdict(examination: Examination) -> tuple[str, str]:
    if examination.wrong:
        return "wrong", "Training would be wrong"
    return ("warned", "Worth a look") if examination.count("warning") else ("healthy", "Nothing is wrong")


def _tiles(examination: Examination) -> str:
    dataset, statistics = examination.dataset, examination.statistics
    tiles = [("pictures", f"{sum(s.pictures for s in statistics.values()):,}")] if statistics else []
    tiles += [(escape(split), f"{s.pictures:,}") for split, s in statistics.items()]
    tiles += [("format", escape(dataset.format) if dataset else "not recognised")]
    tiles += [("void", percent(s.void_share)) for split, s in statistics.items() if split == "train" and s.masks]
    sizes = {size for s in statistics.values() for size in s.sizes}
    if sizes:
        width, height = next(iter(sizes))
        tiles.append(("size", f"{width}x{height}" if len(sizes) == 1 else f"{len(sizes)} sizes"))
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles)
    return f'<dl class="tiles">{items}</dl>'


def _findings(examination: Examination) -> str:
    return "".join(_finding(finding, examination.root) for finding in examination.findings) or "<p>None.</p>"


def _finding(finding: Finding, root: Path) -> str:
    found, remedy = map(escape, finding.for_command_line())
    shown = finding.files[:_MAX_FILES]
    files = "".join(f"<li><b>{escape(relative_path(f.path, root))}</b> {escape(f.about)}</li>" for f in shown)
    files += f"<li>and {finding.count - _MAX_FILES} more</li>" if finding.count > _MAX_FILES else ""
    body = f"<p>{found}</p>"
    body += f"<ul>{files}</ul>" if files else ""
    body += f'<p class="do">→ {remedy}</p>' if remedy else ""
    return f'<div class="finding {finding.severity}"><b>{finding.severity}</b><div>{body}</div></div>'


def _classes(examination: Examination) -> str:
    """Draw a bar for each class and split: share of the labelled pixels, on one scale."""
    counted = {split: s for split, s in examination.statistics.items() if s.pixel_count.any()}
    if examination.dataset is None or not counted:
        return ""
    labels = examination.dataset.labels
    highest = max(float(s.share.max()) for s in counted.values())
    head = '<th scope="col">Class</th>' + "".join(
        f'<th scope="col" class="share">{escape(split)}</th><th scope="col">pictures</th>' for split in counted
    )
    palette, lines = dict(zip(labels.names, labels.palette, strict=True)), []
    for i, name in enumerate(labels.names):
        cells = [f'<th scope="row">{swatch(palette, name)}{escape(name)}</th>']
        for s in counted.values():
            part = float(s.share[i])
            bar = f'<span class="bar" style="--v:{part / highest:.4f}"></span>'
            text = percent(part) if s.pixel_count[i] else "absent"
            cells.append(f'<td class="share"><b>{text}</b>{bar}</td><td>{s.pictures_with_class[i]:,}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        '<p class="lead">Share of the labelled pixels, void left out, and in how many pictures the class is.</p>'
        f'<div class="scroll"><table class="classes splits"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _class_weights(by_rule: Mapping[str, Sequence[float]]) -> str:
    snippets = "".join(
        f"<h3>{escape(rule)}</h3><pre>{class_weights_override(weights)}</pre>" for rule, weights in by_rule.items()
    )
    lead = '<p class="lead">From the training masks, cut at 10; for imbalanced classes, in the order of their ids.</p>'
    return lead + snippets if snippets else ""


def _classes_file(examination: Examination) -> str:
    if examination.dataset is not None or not examination.classes_yaml:
        return ""
    flag = as_command_line(option("fix_classes"))
    lead = f'<p class="lead">To begin with; the doctor writes it with {flag}.</p>'
    return f"{lead}<pre>{escape(examination.classes_yaml)}</pre>"
