"""report.html: every section of a whole run, less of a partial one, nothing from outside, nothing unescaped."""

import json
import os
import re
from html.parser import HTMLParser

import pytest

from atonce.errors import DataError, StorageError
from atonce.reports import write_report
from atonce.reports.html_document import refuse_foreign_page
from tests.reports.run_folders import (
    NAMES,
    RECIPE,
    change,
    write_about,
    write_evaluation,
    write_gallery,
    write_log,
    write_metrics,
    write_panel,
    write_progress,
    write_run,
)
from tests.systems import needs_pipes

VOID = {"meta", "img", "br", "path", "use", "input", "link", "hr"}
SECTIONS = ["classes", "curves", "over-steps", "confusion", "worst", "best", "progress", "recipe", "versions"]


class Page(HTMLParser):
    """What a test asks of the page: tags with their attributes, text, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.html = text
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())
        self.sections = [a["id"] for tag, a in self.tags if tag == "section"]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def report(folder):
    path = write_report(folder)
    assert path == folder / "report.html"
    page = Page(path.read_text("utf-8"))
    assert page.open == []
    return page


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run7"
    folder.mkdir()
    return folder


@pytest.fixture
def whole(run):
    write_run(run)
    return run


def test_a_whole_run_has_every_section(whole):
    page = report(whole)
    assert page.sections == SECTIONS
    assert "Not in this report" not in page.text
    assert [a["href"] for a in page.all("a")] == [f"#{name}" for name in SECTIONS]
    assert "FCN-8s on camvid" in page.text
    assert "12 min" in page.text
    assert "17,843,212" in page.text
    assert "best mean IoU 0.610 at step 200" in page.text
    assert "atonce train data --out runs/x" in page.text
    assert RECIPE in "".join(page.words)


def test_headline_numbers_are_those_of_the_evaluation(whole):
    scores = json.loads((whole / "evaluation.json").read_text())
    text = report(whole).text
    for key, name in (
        ("mean_iou", "mean IoU"),
        ("pixel_accuracy", "pixel accuracy"),
        ("mean_accuracy", "mean accuracy"),
        ("frequency_weighted_iou", "frequency-weighted IoU"),
    ):
        assert f"{name} {scores[key]:.3f}" in text


def test_what_a_damaged_run_says_of_itself_has_an_end(whole):
    nested: dict[str, list[object]] = {"a": []}
    for _ in range(400):
        nested = {"a": [nested]}
    write_about(whole, device=nested)
    assert "a a a a" in report(whole).text


@pytest.mark.parametrize("colour", [[float("inf"), 0, 0], [0, 0], "red", None])
def test_a_palette_that_is_none_is_left_out(whole, colour):
    palette = json.loads((whole / "evaluation.json").read_text())["palette"]
    change(whole / "evaluation.json", palette=[colour, *palette[1:]])
    assert report(whole).sections == SECTIONS


def test_a_network_that_predicts_one_class_only_is_told(whole):
    assert "Every pixel is predicted" not in report(whole).text
    scores = json.loads((whole / "evaluation.json").read_text())
    for row in scores["classes"]:
        row["predicted_pixels"] = row["predicted_pixels"] if row["name"] == "pole" else 0
    change(whole / "evaluation.json", classes=scores["classes"])
    assert "Every pixel is predicted as 'pole', of 3 classes in the masks" in report(whole).text


def test_it_loads_nothing_and_runs_nothing(whole):
    page, text = report(whole), (whole / "report.html").read_text()
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)|javascript:", text)
    for _, attributes in page.tags:
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("xlink:href", "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_it_can_be_read_without_eyes(whole):
    page = report(whole)
    assert len(page.all("img")) == 6 + 5
    assert all(a["alt"] for a in page.all("img"))
    assert all(a["aria-label"] and a["role"] == "img" for a in page.all("svg"))
    assert all(a["scope"] in ("row", "col") for a in page.all("th"))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_figures_take_their_colours_from_the_page(whole):
    report(whole)
    figures = re.findall(r"<svg.*?</svg>", (whole / "report.html").read_text(), re.DOTALL)
    assert len(figures) >= 2
    for svg in figures:
        assert "var(--one)" in svg
        assert not re.search(r"(stroke|fill): #(?!000000)", svg)
        assert "DejaVu" not in svg


def test_absent_and_invented_classes_are_named(run):
    write_evaluation(run)
    change(run / "evaluation.json", predicted_only=["pole"])
    text = report(run).text
    assert "boat absent: no pixel in truth or prediction" in text
    assert "left out of the means: boat." in text
    assert "their IoU is 0: pole." in text


@pytest.mark.parametrize(("count", "cells"), [(2, 4), (11, 121), (21, 441), (60, 0)])
def test_confusion_matrix_of_any_size(run, count, cells):
    write_evaluation(run, tuple(f"class {i}" for i in range(count)))
    page = report(run)
    assert len([a for a in page.all("td") if (a.get("class") or "").startswith(("hit", "miss"))]) == cells
    assert "The most frequent mistakes" in page.text


def test_a_perfect_evaluation(run):
    write_evaluation(run, ("a", "b"))
    change(run / "evaluation.json", confusion=[[10, 0], [0, 10]])
    assert "Not one pixel is wrong." in report(run).text


def test_nothing_labelled_at_all(run):
    write_evaluation(run, ("a", "b"))
    nothing = {"iou": None, "accuracy": None, "precision": None, "pixels": 0}
    classes = [{"id": i, "name": name} | nothing for i, name in enumerate("ab")]
    change(run / "evaluation.json", confusion=[[0, 0], [0, 0]], classes=classes, mean_iou=None)
    assert "mean IoU –" in report(run).text


def test_of_one_picture_there_are_no_others_to_be_the_best_and_nothing_is_missing(whole):
    entries = [entry for entry in json.loads((whole / "gallery.json").read_text()) if entry["rank"] == "worst"]
    (whole / "gallery.json").write_text(json.dumps(entries))
    page = report(whole)
    assert page.sections == [name for name in SECTIONS if name != "best"]
    assert "Not in this report" not in page.text


def test_evaluation_folder(run):
    write_evaluation(run)
    write_gallery(run)
    page = report(run)
    assert page.sections == ["classes", "confusion", "worst", "best", "left-out"]
    assert "atonce · evaluation · run7" in page.text
    assert "This folder holds an evaluation" in page.text


def test_a_run_that_has_just_begun(run):
    (run / "recipe.yaml").write_text(RECIPE)
    page = report(run)
    assert page.sections == ["recipe", "left-out"]
    assert "No validation yet" in page.text
    assert "Classes (needs evaluation.json)" in page.text


def test_a_run_before_its_first_validation(run):
    (run / "recipe.yaml").write_text(RECIPE)
    write_log(run, steps=(50,))
    page = report(run)
    assert page.sections == ["curves", "recipe", "left-out"]
    assert "steps so far 50 of 400" in page.text
    labels = [figure["aria-label"] for figure in page.all("svg")]
    assert [label.split(" o")[0] for label in labels] == ["Training loss", "Mean IoU", "Learning rate"]


def test_a_run_without_evaluation_shows_its_best_validation(run):
    write_log(run)
    write_metrics(run)
    page = report(run)
    assert page.sections == ["curves", "over-steps", "left-out"]
    assert "mean IoU 0.610" in page.text
    assert "best step 200 of 300" in page.text


def test_the_best_step_is_none_after_the_last(run):
    """A log whose last line is before the end of the run: 281 steps, a line every tenth."""
    write_log(run, steps=(*range(10, 281, 10),))
    write_metrics(run, (0.4,))
    text = (run / "metrics.csv").read_text().replace("\n100,", "\n281,")
    (run / "metrics.csv").write_text(text)
    assert "best step 281 of 281" in report(run).text


def test_few_validations_are_shown_on_the_length_of_the_run_with_their_values(run):
    write_log(run, steps=(100, 200))
    write_metrics(run, (0.4321,))
    (figure,) = (
        f for f in re.findall(r"<figure class=\"plot\">.*?</figure>", report(run).html, re.S) if "<h3>Validation" in f
    )
    ticks = re.findall(r"<text[^>]*>([^<]*)</text>", figure)
    assert {"0", "50", "100", "150", "200"} <= set(ticks)
    assert {"0.432", "0.8"} <= set(ticks)


def test_the_commands_of_all_sessions_are_shown(run):
    write_metrics(run)
    sessions = [
        {"command": f"atonce train data {word}", "commit": f"c{word[-1]}", "started": "2026-01-01"}
        for word in ("--weights vgg.pth", "--resume <2>")
    ]
    write_about(run, command=sessions[0]["command"], sessions=sessions)
    page = report(run)
    assert "atonce train data --weights vgg.pth" in page.text
    assert "atonce train data --resume &lt;2&gt;" in page.html
    assert "commit ch" in page.text


def test_a_single_validation(run):
    write_metrics(run, (0.4,))
    assert report(run).sections == ["curves", "left-out"]


def test_validations_without_a_score(run):
    write_metrics(run, (None, None))
    assert "over-steps" in report(run).sections


def test_gaps_and_an_unfinished_line_in_the_log(run):
    write_log(run, loss=None, cross_entropy=None, train_mean_iou=None)
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 250, "lo')
    assert [a["aria-label"][:8] for a in report(run).all("svg")] == ["Learning"]


def test_l2_is_drawn_where_there_is_one(run):
    write_log(run, l2=0.2)
    assert "loss cross entropy L2" in report(run).text


def test_what_a_teacher_said_is_drawn_where_there_is_one(run):
    write_log(run, distillation=0.4)
    assert "loss cross entropy distillation" in report(run).text


def test_sizes_of_pictures_are_written_as_everywhere_else(run):
    write_evaluation(run)
    sizes = {"smallest": [620, 188], "median": [1242, 375], "largest": [1242, 376]}
    write_about(run, data={"format": "kitti-road", "picture_sizes": sizes, "split_seed": 0})
    assert (
        "data: picture sizes smallest 620x188, median 1242x375, largest 1242x376 data: split seed" in report(run).text
    )


def test_a_long_log_makes_no_larger_figure(run):
    write_log(run, steps=range(50, 1_000_000, 50))
    report(run)
    assert (run / "report.html").stat().st_size < 200_000


def test_progress_shows_first_middle_and_last(run):
    write_metrics(run)
    write_progress(run)
    page = report(run)
    assert [a["alt"] for a in page.all("img")] == [
        "street: picture",
        "street: truth",
        "street: prediction at step 100",
        "street: prediction at step 300",
        "street: prediction at step 400",
    ]


def test_pictures_that_are_missing_broken_or_elsewhere_are_left_out(run):
    write_evaluation(run)
    write_gallery(run)
    write_panel(run.parent / "secret.jpg")
    (run / "gallery" / "broken.jpg").write_bytes(b"no picture")
    entries = json.loads((run / "gallery.json").read_text())
    bad = ["../secret.jpg", "gallery/none.jpg", "gallery/broken.jpg", "", str(run.parent / "secret.jpg")]
    (run / "gallery.json").write_text(json.dumps(entries + [entries[0] | {"picture": path} for path in bad]))
    assert len(report(run).all("img")) == 6


def test_large_pictures_shrink(run):
    write_metrics(run)
    (run / "pictures").mkdir()
    write_panel(run / "pictures" / "a_000100.jpg", (100, 3 * 2048))
    assert {(a["width"], a["height"]) for a in report(run).all("img")} == {("800", "39")}


def test_without_a_palette_there_are_no_swatches(run):
    write_evaluation(run, palette=False)
    write_gallery(run)
    page = report(run)
    assert not [a for _, a in page.tags if a.get("class") == "swatch"]
    assert "The colours of the classes are not known here" in page.text


def test_the_palette_of_the_model_beside_it(run, monkeypatch):
    write_evaluation(run, palette=False)
    labels = {"names": list(NAMES), "palette": [[1, 2, 3]] * 4}
    monkeypatch.setattr("atonce.reports.run_files.read_metadata", lambda path: {"labels": labels})
    assert "background:rgb(1,2,3)" in [a["style"] for a in report(run).all("i")]


@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "$\\frac{", "路 & 'a'"]
)
def test_everything_from_files_is_escaped(run, evil):
    names = (evil, "rest", f"2 {evil}")
    (run / "recipe.yaml").write_text(f"# {evil}\n")
    write_evaluation(run, names)
    change(run / "evaluation.json", absent=[evil], predicted_only=[evil])
    write_metrics(run, names=names)
    write_log(run)
    write_gallery(run, evil)
    write_about(run, command=f"atonce {evil}", data={"format": evil, evil: evil}, device=evil)
    if "/" not in evil:
        write_progress(run, evil)
    page = report(run)
    assert not page.all("script")
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert page.text.count(evil) > 10


def test_an_empty_folder_is_a_user_error(run):
    with pytest.raises(DataError, match="nothing to report"):
        write_report(run)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("evaluation.json", "{"),
        ("evaluation.json", "[1]"),
        ("evaluation.json", '{"mean_iou": 0.5}'),
        ("evaluation.json", '{"classes": [{"name": "a"}], "confusion": [["x"]]}'),
        ("gallery.json", "{}"),
        ("run.json", "no"),
        ("recipe.yaml", b"\xff\xfe\x00"),
    ],
)
def test_a_damaged_file_is_named(whole, name, content):
    (whole / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=name):
        write_report(whole)


def test_a_recipe_that_is_not_yaml_is_shown_all_the_same(run):
    (run / "recipe.yaml").write_text("a: [1\nb")
    assert "a: [1" in report(run).text


def test_a_report_that_cannot_be_written(whole):
    (whole / "report.html").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        write_report(whole)


def test_the_same_run_gives_the_same_report(whole):
    first = write_report(whole).read_bytes()
    assert write_report(whole).read_bytes() == first


@pytest.mark.parametrize("content", [b"step\n\xff", b"step,mean_iou\n" + b"x" * 140_000])
def test_metrics_that_are_damaged_are_named(whole, content):
    (whole / "metrics.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"metrics\.csv (is damaged|cannot be read): .*remove it or make it again"):
        write_report(whole)


@needs_pipes
@pytest.mark.parametrize(
    "name", ["recipe.yaml", "log.jsonl", "metrics.csv", "evaluation.json", "gallery.json", "run.json"]
)
def test_a_pipe_is_named_and_not_waited_for(whole, name):
    (whole / name).unlink()
    os.mkfifo(whole / name)
    with pytest.raises(DataError, match=f"{name} cannot be read: it is no ordinary file"):
        write_report(whole)


@needs_pipes
def test_pictures_that_are_pipes_are_left_out(whole):
    for path in (*(whole / "pictures").iterdir(), *(whole / "gallery").iterdir()):
        path.unlink()
        os.mkfifo(path)
    assert "data:image" not in report(whole).text
    os.mkfifo(whole / "pipe.html")
    with pytest.raises(DataError, match=r"pipe\.html is there already"):
        refuse_foreign_page(whole / "pipe.html")


@pytest.mark.parametrize(("limit", "said"), [("10", True), ("12", False), ("null", False)])
def test_minutes_beyond_the_limit_are_those_of_the_last_step(tmp_path, limit, said):
    write_run(tmp_path)
    (tmp_path / "recipe.yaml").write_text(f"{RECIPE}  max_minutes: {limit}\n")
    write_report(tmp_path)
    text = Page((tmp_path / "report.html").read_text("utf-8")).text
    assert ("of 10 min: its last step was finished" in text) == said, text[:600]
