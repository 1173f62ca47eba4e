"""The report's page: its sections and their order, the headline, and the list of what is missing.

Everything from a file is escaped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

from atonce.reports.curves import classes_over_steps, curves_section
from atonce.reports.html_document import document
from atonce.reports.number_format import duration, join_with_and, score
from atonce.reports.panels import gallery_section, progress_section
from atonce.reports.road_and_calibration import calibration_section, road_lead, road_section
from atonce.reports.run_files import MEANS, RunFiles
from atonce.reports.score_tables import class_table, confusion_table, frequent_mistakes, legend
from atonce.reports.single_prediction import absent_but_predicted, single_prediction
from atonce.storage import none_to_nan

_MEAN_NAMES = dict(zip(MEANS, ("mean IoU", "pixel accuracy", "mean accuracy", "frequency-weighted IoU"), strict=True))
_RUN_INFO_TITLES = {
    "model": "model",
    "split": "split",
    "tta": "test-time augmentation",
    "atonce": "atonce",
    "torch": "PyTorch",
    "python": "Python",
    "device": "device",
    "parameters": "parameters",
    "started": "started",
    "commit": "commit",
}
_MAX_TEXT = 300
_CURVES_LEAD = (
    "While training, validations compute as the training does, which may be in bf16; the table above is of the best "
    "model in fp32, so the last digits can differ."
)
_MAX_DEPTH = 8
_CALIBRATION_LEAD = "Of the pixels whose most likely class has a given probability, how many are right."


class Section(NamedTuple):
    """A part of the page.

    Attributes:
        anchor: its address within the page.
        body: HTML; empty when there is nothing to show.
        needs: the files that it is made of, for the list of what is missing; empty where nobody would miss it.
        lead: a sentence below the title.
    """

    anchor: str
    title: str
    body: str
    needs: str = ""
    lead: str = ""


def render(files: RunFiles) -> str:
    """Return the whole document."""
    sections = _sections(files)
    shown = [section for section in sections if section.body]
    links = "".join(f'<a href="#{section.anchor}">{section.title}</a>' for section in shown)
    title = escape(_title(files))
    kind = "training report" if files.is_training else "evaluation"
    header = f"""<p class="eyebrow">atonce · {kind} · {escape(files.folder.resolve().name)}</p>
<h1>{title}</h1>
{_headline(files)}
<nav aria-label="Sections">{links}</nav>"""
    body = f"{''.join(_section_html(section) for section in shown)}\n{_missing_sections(files, sections)}\n"
    return document(f"{title} · atonce {kind}", header, body)


def _sections(files: RunFiles) -> list[Section]:
    scored = bool(files.evaluation)
    colours = legend(files) if files.gallery else ""
    worst, best = gallery_section(files, "worst"), gallery_section(files, "best")
    return [
        # Only some evaluations have road scores and calibration, and nobody misses them elsewhere.
        Section("road", "Road, as KITTI scores it", road_section(files), lead=road_lead(files)),
        Section("classes", "Classes", class_table(files) if scored else "", needs="evaluation.json"),
        Section(
            "curves", "Curves", _wrap("plots", curves_section(files)), needs="log.jsonl, metrics.csv", lead=_CURVES_LEAD
        ),
        Section(
            "over-steps",
            "Classes over time",
            classes_over_steps(files),
            needs="metrics.csv with two validations",
            lead="IoU from 0 to 1 at each validation; the dot is the model that was kept.",
        ),
        Section(
            "confusion",
            "Confusion matrix",
            frequent_mistakes(files) + confusion_table(files) if scored else "",
            needs="evaluation.json",
        ),
        Section("calibration", "Calibration", calibration_section(files), lead=_CALIBRATION_LEAD),
        Section(
            "worst",
            "Worst pictures",
            worst and colours + worst,
            needs="gallery.json",
            lead="The lowest mean IoU first.",
        ),
        Section(
            "best",
            "Best pictures",
            best and colours + best,
            # Of a few pictures all are among the worst: then there are no others, and nothing is missing.
            needs="" if files.gallery else "gallery.json",
            lead="The highest mean IoU first.",
        ),
        Section(
            "progress",
            "How predictions changed",
            progress_section(files),
            needs="pictures/",
            lead="From validation to validation.",
        ),
        Section("recipe", "Recipe", _recipe(files), needs="recipe.yaml"),
        Section("versions", "Versions and command", _run_info(files.run_info), needs="run.json"),
    ]


def _section_html(section: Section) -> str:
    lead = f'<p class="lead">{section.lead}</p>' if section.lead else ""
    return f'<section id="{section.anchor}"><h2>{section.title}</h2>{lead}{section.body}</section>\n'


def _wrap(kind: str, body: str) -> str:
    return f'<div class="{kind}">{body}</div>' if body else ""


def _missing_sections(files: RunFiles, sections: list[Section]) -> str:
    missing = [section for section in sections if section.needs and not section.body]
    if not missing:
        return ""
    items = "".join(f"<li>{section.title} <small>(needs {section.needs})</small></li>" for section in missing)
    why = (
        "The run had not come to these yet when the report was written."
        if files.is_training
        else "This folder holds an evaluation; how the network was trained is told by the report of its run."
    )
    return f'<section id="left-out"><h2>Not in this report</h2><p class="lead">{why}</p><ul>{items}</ul></section>'


def _title(files: RunFiles) -> str:
    """Return a title such as "FCN-8s on bolts", after the folder of the data, as far as the files tell."""
    stride = _nested(files.settings, "model", "stride")
    data = (
        files.run_info.get("data_name")
        or _nested(files.run_info, "data", "format")
        or _nested(files.settings, "data", "format")
    )
    name = f"FCN-{stride}s" if stride else "FCN" if files.is_training else "Scores"
    return f"{name} on {data}" if data else f"{name} of {files.folder.resolve().name}"


def _headline(files: RunFiles) -> str:
    """Return the first sentence and the tiles with the most important numbers."""
    tiles = [(name, score(none_to_nan(files.scores[key]))) for key, name in _MEAN_NAMES.items() if key in files.scores]
    optional = [(name, score(value)) for name, value in _optional_scores(files.evaluation).items()]
    # The first tile is the largest: on KITTI road, the number that the benchmark ranks by.
    tiles = optional + tiles if files.evaluation.get("road") else tiles + optional
    if not tiles and files.log:
        last = files.log[-1]
        tiles = [
            ("loss", f"{none_to_nan(last.get('loss')):.3g}"),
            ("mean IoU on training crops", score(none_to_nan(last.get("train_mean_iou")))),
        ]
    step, steps = files.last_step, none_to_nan(_nested(files.settings, "train", "steps"))
    if files.best:
        of = f" <small>of {step:,.0f}</small>" if step is not None else ""
        tiles.append(("best step", f"{files.best['step']:,.0f}{of}"))
    elif step is not None:
        tiles.append(
            ("steps so far", f"{step:,.0f}" + (f" <small>of {steps:,.0f}</small>" if math.isfinite(steps) else ""))
        )
    if files.minutes is not None:
        limit = none_to_nan(_nested(files.settings, "train", "max_minutes"))
        # Minutes end a run with a step, which may take long.
        over = (
            f" <small>of {duration(limit)}: its last step was finished</small>" if files.minutes > 1.1 * limit else ""
        )
        tiles.append(("training", f"{duration(files.minutes)}{over}"))
    if pictures := files.evaluation.get("pictures"):
        tiles.append(("pictures", f"{len(pictures):,}"))
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles)
    collapsed = single_prediction(files.evaluation.get("classes", ()))
    absent = absent_but_predicted(files.evaluation.get("predicted_only", ()))
    remarks = (f'<p class="gist">{escape(text[:1].upper() + text[1:])}.</p>' for text in (collapsed, absent) if text)
    remark = "".join(remarks)
    return f'{_best_and_weakest(files)}{remark}<dl class="tiles">{items}</dl>'


def _optional_scores(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the headline numbers that only some evaluations have."""
    wanted = {
        "MaxF of road": ("road", "pooled", "max_f"),
        "boundary F1": ("boundary", "mean_f1"),
        "calibration error": ("calibration", "expected_calibration_error"),
    }
    values = {name: none_to_nan(_nested(evaluation, *keys)) for name, keys in wanted.items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _best_and_weakest(files: RunFiles) -> str:
    """Write one sentence: which classes are recognised best, which worst."""
    if files.evaluation:
        scores = {c["name"]: none_to_nan(c.get("iou")) for c in files.evaluation["classes"]}
    elif files.best:
        scores = {name: files.best.get(f"iou {name}", math.nan) for name in files.class_names}
    else:
        return '<p class="gist">No validation yet: there are no scores to report.</p>' if files.is_training else ""
    ranked = sorted((name for name in scores if math.isfinite(scores[name])), key=lambda name: -scores[name])
    named = [f"{escape(name)} <b>{score(scores[name])}</b>" for name in ranked]
    if len(named) < 2:
        return ""
    some = min(3, len(named) // 2)
    best, weakest = join_with_and(named[:some]), join_with_and(named[: -some - 1 : -1])
    return f'<p class="gist">Best at {best}; weakest at {weakest}.</p>'


def _recipe(files: RunFiles) -> str:
    if not files.recipe:
        return ""
    return f"<details><summary>The full recipe, as it ran</summary><pre>{escape(files.recipe)}</pre></details>"


def _run_info(run_info: Mapping[str, Any]) -> str:
    rows = {title: run_info[key] for key, title in _RUN_INFO_TITLES.items() if run_info.get(key) is not None}
    data = run_info.get("data")
    for key, value in data.items() if isinstance(data, dict) else ():
        rows[f"data: {key.replace('_', ' ')}"] = _sizes(value) if key == "picture_sizes" else value
    items = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(_as_text(value))}</td></tr>'
        for name, value in rows.items()
    )
    table = f'<div class="scroll"><table class="about"><tbody>{items}</tbody></table></div>' if items else ""
    return table + _commands(run_info)


def _sizes(sizes: Any) -> Any:
    """Write the width and height of each as everywhere else: 1242x375; what is something else stays as it is."""
    if not isinstance(sizes, dict):
        return sizes
    pairs = {name: size for name, size in sizes.items() if isinstance(size, list) and len(size) == 2}
    return sizes | {name: "x".join(map(str, size)) for name, size in pairs.items()}


def _commands(run_info: Mapping[str, Any]) -> str:
    """Show the command; of a run in several sessions, the command of each, with its time and commit."""
    sessions = run_info.get("sessions")
    if isinstance(sessions, list) and len(sessions) > 1:
        rows = [session for session in sessions if isinstance(session, Mapping)]
        return "".join(
            f"<p>{escape(_as_text(row.get('started')))}, commit {escape(_as_text(row.get('commit')))}</p>"
            f"<pre>{escape(str(row.get('command')))}</pre>"
            for row in rows
        )
    command = run_info.get("command")
    text = " ".join(map(str, command)) if isinstance(command, list) else str(command)
    return f"<pre>{escape(text)}</pre>" if command else ""


def _as_text(value: object, depth: int = 0) -> str:
    if depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_as_text(v, depth + 1)}" for k, v in value.items()) or "–"
    if isinstance(value, list):
        value = "; ".join(_as_text(one, depth + 1) for one in value)
    text = value if isinstance(value, str) else json.dumps(value)
    if text in ("", "null"):
        return "–"
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]} …"


def _nested(data: Any, *keys: str) -> Any:
    """Return the value at a path of keys; None where one of them is missing."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data
