"""The page: what comes first, what is left out, and the frame around it. Everything from a file is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

from atonce.reports.curves import classes_over_steps, curves_section
from atonce.reports.html_document import document
from atonce.reports.number_format import duration, listing, score
from atonce.reports.panels import gallery_section, progress_section
from atonce.reports.road_section import calibration_section, road_lead, road_section
from atonce.reports.run_files import MEANS, Source
from atonce.reports.score_tables import class_table, confusion_table, legend, mistakes
from atonce.storage import none_to_nan

_MEAN_NAMES = dict(zip(MEANS, ("mean IoU", "pixel accuracy", "mean accuracy", "frequency-weighted IoU"), strict=True))
_ABOUT = {
    "model": "model",
    "split": "split",
    "atonce": "atonce",
    "torch": "PyTorch",
    "python": "Python",
    "device": "device",
    "parameters": "parameters",
    "started": "started",
    "commit": "commit",
}
_LONGEST = 300
_SURENESS = "Of the pixels whose most likely class has a given probability, how many are right."


class Section(NamedTuple):
    """A part of the page; `body` is empty when there is nothing to show, and `missing` says why."""

    anchor: str
    title: str
    lead: str
    body: str
    missing: str


def render(source: Source) -> str:
    """The whole document."""
    sections = _sections(source)
    shown = [section for section in sections if section.body]
    links = "".join(f'<a href="#{section.anchor}">{section.title}</a>' for section in shown)
    title = escape(_title(source))
    kind = "training report" if source.is_training else "evaluation"
    header = f"""<p class="eyebrow">atonce · {kind} · {escape(source.folder.resolve().name)}</p>
<h1>{title}</h1>
{_headline(source)}
<nav aria-label="Sections">{links}</nav>"""
    body = f"{''.join(_framed(section) for section in shown)}\n{_left_out(source, sections)}\n"
    return document(f"{title} · atonce {kind}", header, body)


def _sections(source: Source) -> list[Section]:
    scored = bool(source.evaluation)
    colours = legend(source) if source.gallery else ""
    worst, best, progress = gallery_section(source, "worst"), gallery_section(source, "best"), progress_section(source)
    return [
        # Only some evaluations have these two, and nobody misses them elsewhere.
        *_if_any(Section("road", "Road, as KITTI scores it", road_lead(source), road_section(source), "")),
        Section("classes", "Classes", "", class_table(source) if scored else "", "evaluation.json"),
        Section("curves", "Curves", "", _wrap("plots", curves_section(source)), "log.jsonl, metrics.csv"),
        Section(
            "over-steps",
            "Classes over time",
            "IoU from 0 to 1 at each validation; the dot is the model that was kept.",
            classes_over_steps(source),
            "metrics.csv with two validations",
        ),
        Section(
            "confusion",
            "What is taken for what",
            "",
            mistakes(source) + confusion_table(source) if scored else "",
            "evaluation.json",
        ),
        *_if_any(Section("calibration", "How sure, how right", _SURENESS, calibration_section(source), "")),
        Section("worst", "Worst pictures", "The lowest mean IoU first.", worst and colours + worst, "gallery.json"),
        Section("best", "Best pictures", "The highest mean IoU first.", best and colours + best, "gallery.json"),
        Section("progress", "How predictions changed", "From validation to validation.", progress, "pictures/"),
        Section("recipe", "Recipe", "", _recipe(source), "recipe.yaml"),
        Section("versions", "Versions and command", "", _about(source.about), "run.json"),
    ]


def _if_any(section: Section) -> list[Section]:
    return [section] if section.body else []


def _framed(section: Section) -> str:
    lead = f'<p class="lead">{section.lead}</p>' if section.lead else ""
    return f'<section id="{section.anchor}"><h2>{section.title}</h2>{lead}{section.body}</section>\n'


def _wrap(kind: str, body: str) -> str:
    return f'<div class="{kind}">{body}</div>' if body else ""


def _left_out(source: Source, sections: list[Section]) -> str:
    missing = [section for section in sections if not section.body]
    if not missing:
        return ""
    items = "".join(f"<li>{section.title} <small>(needs {section.missing})</small></li>" for section in missing)
    why = (
        "The run had not come to these yet when the report was written."
        if source.is_training
        else "This folder holds an evaluation; how the network was trained is told by the report of its run."
    )
    return f'<section id="left-out"><h2>Not in this report</h2><p class="lead">{why}</p><ul>{items}</ul></section>'


def _title(source: Source) -> str:
    """FCN-8s on camvid, as far as the files tell."""
    stride = _dig(source.knobs, "model", "stride")
    data = _dig(source.about, "data", "format") or _dig(source.knobs, "data", "format")
    name = f"FCN-{stride}s" if stride else "FCN" if source.is_training else "Scores"
    return f"{name} on {data}" if data else f"{name} of {source.folder.resolve().name}"


def _headline(source: Source) -> str:
    tiles = [
        (name, score(none_to_nan(source.scores[key]))) for key, name in _MEAN_NAMES.items() if key in source.scores
    ]
    beyond = [(name, score(value)) for name, value in _beyond(source.evaluation).items()]
    # The first tile is the largest: on KITTI road, the number that the benchmark ranks by.
    tiles = beyond + tiles if source.evaluation.get("road") else tiles + beyond
    if not tiles and source.log:
        last = source.log[-1]
        tiles = [
            ("loss", f"{none_to_nan(last.get('loss')):.3g}"),
            ("mean IoU on training crops", score(none_to_nan(last.get("train_mean_iou")))),
        ]
    step, steps = (
        (none_to_nan(source.log[-1]["step"]) if source.log else math.nan),
        none_to_nan(_dig(source.knobs, "train", "steps")),
    )
    if source.best:
        of = f" <small>of {step:,.0f}</small>" if math.isfinite(step) else ""
        tiles.append(("best step", f"{source.best['step']:,.0f}{of}"))
    elif math.isfinite(step):
        tiles.append(
            ("steps so far", f"{step:,.0f}" + (f" <small>of {steps:,.0f}</small>" if math.isfinite(steps) else ""))
        )
    if source.minutes is not None:
        tiles.append(("training", duration(source.minutes)))
    if pictures := source.evaluation.get("pictures"):
        tiles.append(("pictures", f"{len(pictures):,}"))
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles)
    return f'{_gist(source)}<dl class="tiles">{items}</dl>'


def _beyond(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The headline numbers that only some evaluations have."""
    wanted = {
        "MaxF of road": ("road", "pooled", "max_f"),
        "boundary F1": ("boundary", "mean_f1"),
        "calibration error": ("calibration", "expected_calibration_error"),
    }
    values = {name: none_to_nan(_dig(evaluation, *keys)) for name, keys in wanted.items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _gist(source: Source) -> str:
    """One sentence: where it is good, where it is weak."""
    if source.evaluation:
        scores = {c["name"]: none_to_nan(c.get("iou")) for c in source.evaluation["classes"]}
    elif source.best:
        scores = {name: source.best.get(f"iou {name}", math.nan) for name in source.class_names}
    else:
        return '<p class="gist">No validation yet: there are no scores to report.</p>' if source.is_training else ""
    ranked = sorted((name for name in scores if math.isfinite(scores[name])), key=lambda name: -scores[name])
    told = [f"{escape(name)} <b>{score(scores[name])}</b>" for name in ranked]
    if len(told) < 2:
        return ""
    some = min(3, len(told) // 2)
    return f'<p class="gist">Best at {listing(told[:some])}; weakest at {listing(told[: -some - 1 : -1])}.</p>'


def _recipe(source: Source) -> str:
    if not source.recipe:
        return ""
    return f"<details><summary>The full recipe, as it ran</summary><pre>{escape(source.recipe)}</pre></details>"


def _about(about: Mapping[str, Any]) -> str:
    rows = {title: about[key] for key, title in _ABOUT.items() if about.get(key) is not None}
    data = about.get("data")
    rows |= {f"data: {key}": value for key, value in (data.items() if isinstance(data, dict) else ())}
    items = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(_plain(value))}</td></tr>' for name, value in rows.items()
    )
    command = about.get("command")
    line = (
        f"<pre>{escape(' '.join(map(str, command)) if isinstance(command, list) else str(command))}</pre>"
        if command
        else ""
    )
    return (f'<div class="scroll"><table class="about"><tbody>{items}</tbody></table></div>' if items else "") + line


def _plain(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items()) or "–"
    if isinstance(value, list):
        value = "; ".join(map(_plain, value))
    text = value if isinstance(value, str) else json.dumps(value)
    if text in ("", "null"):
        return "–"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _dig(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data
