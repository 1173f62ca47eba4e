"""The site is made of the pages as they are: links are led to where the pages lie on it, and dead ones are found."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import atonce
from atonce.version import __version__
from tests.commands import all_commands
from tests.test_docs import PAGES

ROOT = Path(__file__).parents[1]
SITE = ROOT / "docs" / "site"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    # build.py finds the modules beside it, as a script does.
    spec = importlib.util.spec_from_file_location("build_site", SITE / "build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_site"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def source(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Sphinx reads."""
    folder = tmp_path_factory.mktemp("site") / "source"
    folder.mkdir()
    build.stage(folder)
    return folder


def test_every_page_of_the_repository_is_on_the_site_and_in_its_menu(source: Path) -> None:
    there = {path.name for path in source.iterdir()}
    pages = {"readme.md" if page == ROOT / "README.md" else page.name for page in PAGES} - {"README.md"}
    assert {name for name in pages if name not in there and name.lower() not in there} == set()
    menu = re.findall(r"^(?:.*<)?([\w-]+)>?$", (source / "index.md").read_text("utf-8").partition("{toctree}")[2], re.M)
    assert {path.stem for path in source.iterdir() if path.suffix in (".md", ".rst", ".ipynb")} - {"index"} <= {*menu}


def test_links_between_pages_and_to_files_of_code_lead_to_where_these_are_on_the_site(source: Path) -> None:
    index = (source / "index.md").read_text("utf-8")
    for link in (
        "(readme.md)",
        "(own-data.md)",
        "(readme.md#what-makes-it-train)",
        "(security.md)",
        "(first-network.ipynb)",
    ):
        assert link in index, link
    assert "(files/src/atonce/model/fcn.py.md)" in index
    shown = (source / "files/src/atonce/model/fcn.py.md").read_text("utf-8")
    assert "{literalinclude} fcn.py" in shown
    assert (source / "files/src/atonce/model/fcn.py").read_bytes() == (ROOT / "src/atonce/model/fcn.py").read_bytes()


def test_every_local_link_of_a_staged_page_leads_to_a_file(source: Path) -> None:
    for page in source.glob("*.md"):
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)\s#]+)", text):
            assert (source / target).is_file(), f"{page.name}: {target}"


def test_blocks_of_code_are_left_alone(build: ModuleType) -> None:
    text = "[a](b.md)\n```\n[a](b.md)\n```\n[a](https://b.md) [a](b.md#c)\n"
    changed = "[a](X)\n```\n[a](b.md)\n```\n[a](https://b.md) [a](X#c)\n"
    assert build.with_links(text, lambda target: "X") == changed


def test_links_are_read_as_titles_of_pages_not_as_names_of_files(source: Path) -> None:
    as_files = {
        f"{page.name}: {text}"
        for page in source.glob("*.md")
        for text in re.findall(
            r"\[`?([\w./-]+\.(?:md|ipynb))`?\]\(", re.sub(r"(?ms)^```.*?^```", "", page.read_text("utf-8"))
        )
    }
    assert as_files == set()
    index = (source / "index.md").read_text("utf-8")
    assert "[From a laptop to a rack](scale.md)" in index
    assert "[Recipes and knobs](recipes.md)" in index


def test_names_of_files_that_are_no_pages_and_code_are_left_alone(build: ModuleType) -> None:
    titles = {"b.md": "Title"}
    text = "[b.md](b.md) [c.md](c.md) [a b.md](b.md)\n```\n[b.md](b.md)\n```\n[there/b.md](b.md#here)\n"
    changed = "[Title](b.md) [c.md](c.md) [a b.md](b.md)\n```\n[b.md](b.md)\n```\n[Title](b.md#here)\n"
    assert build.with_titles(text, titles.get) == changed


def test_pages_that_are_named_by_their_title_are_links(source: Path) -> None:
    assert "(page [Experiment trackers](tracking.md))" in (source / "recipes.md").read_text("utf-8")
    options = (source / "command-line.rst").read_text("utf-8")
    assert "of any tool on the page :doc:`Your own data </own-data>`." in options
    titles = importlib.import_module("page_titles")
    broken = 'as the page "Your own\n    data" has them, page "No such page"'
    linked = 'as the page :doc:`Your own data </own-data>` has them, page "No such page"'
    assert titles.with_page_links(broken, titles.rst_link) == linked


def test_every_option_is_on_the_page_of_options(source: Path) -> None:
    page = (source / "command-line.rst").read_text("utf-8")
    for words, command in all_commands().items():
        section = page.partition(f"\natonce {words}\n---")[2].partition("\n---")[0]
        names = {
            name for parameter in command.params if not getattr(parameter, "hidden", False) for name in parameter.opts
        }
        named = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", " ".join(re.findall(r"^``(.*)``$", section, re.MULTILINE))))
        assert {name for name in names if name.startswith("-")} == named, words
        assert f"   atonce {words} [OPTIONS]" in section
    assert "with ``--images``." in page, "two dashes stay two"


def test_what_a_reader_needs_of_the_repository_can_be_downloaded(source: Path) -> None:
    for name in ("Dockerfile", "constraints.txt"):
        assert f"](files/{name}.md)" in (source / "serve.md").read_text("utf-8")
        page = (source / f"files/{name}.md").read_text("utf-8")
        assert f"{{literalinclude}} {name}" in page and f"{{download}}`download <{name}>`" in page
        assert (source / f"files/{name}").read_bytes() == (ROOT / name).read_bytes()
    cells = json.loads((source / "first-network.ipynb").read_text("utf-8"))["cells"]
    assert "{download}`Download this page as a notebook <files/docs/first-network.ipynb>`" in cells[0]["source"]
    kept = source / "files/docs/first-network.ipynb"
    assert kept.read_bytes() == (ROOT / "docs/first-network.ipynb").read_bytes()


def test_no_two_pages_have_one_title(source: Path) -> None:
    titles = [re.findall(r"^# (.+)$", page.read_text("utf-8"), re.MULTILINE)[0] for page in source.glob("*.md")]
    assert len(titles) > 20 and len(set(titles)) == len(titles)


def test_dead_links_are_found(build: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#there">x</a><a href="#here">x</a><p id="here"><img src="c.png">')
    (tmp_path / "b.html").write_text('<p id="there"><a href="a.html">x</a><a href="https://elsewhere">x</a>')
    assert build.dead_links(tmp_path) == ["a.html: c.png"]
    (tmp_path / "c.png").write_bytes(b"")
    assert build.dead_links(tmp_path) == []
    (tmp_path / "b.html").write_text('<p id="gone"><a href="d.html">x</a>')
    assert build.dead_links(tmp_path) == ["a.html: b.html#there", "b.html: d.html"]


def test_the_reference_has_every_public_name() -> None:
    # Of the pages as they are kept: the build itself adds a page of what is missing in them.
    pages = "\n".join(path.read_text("utf-8") for path in (SITE / "python").glob("*.rst"))
    documented = set(re.findall(r":: atonce\.(\w+)\b(?!\.)", pages))
    assert set(atonce.__all__) - {"__version__"} - documented == set()


def test_the_notebook_is_kept_without_results() -> None:
    cells = json.loads((ROOT / "docs/first-network.ipynb").read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_wheel_that_pages_name_is_of_this_version() -> None:
    named = [
        name for page in PAGES for name in re.findall(r"atonce-([\d.]+)-py3-none-any\.whl", page.read_text("utf-8"))
    ]
    assert named and set(named) == {__version__}


def test_the_build_of_torch_that_the_readme_names_is_the_pinned_one() -> None:
    (pinned,) = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert re.findall(r"torch==(\S+)", (ROOT / "README.md").read_text("utf-8")) == [pinned]


def test_extras_of_the_page_are_those_of_the_package() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    section = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    extras = set(re.findall(r"^(\w+) = \[", section, re.MULTILINE)) - {"dev", "dist", "docs"}
    page = (ROOT / "docs/five-minutes.md").read_text("utf-8").partition("| extra |")[2].partition("\n\n")[0]
    cells = [row.split("|")[1] for row in page.splitlines() if row.startswith("| `")]
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == extras


def test_a_public_name_that_no_page_has_gets_one(build: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python.rst").write_text(".. toctree::\n\n   python/some\n")
    named = (f".. autofunction:: atonce.{name}\n" for name in atonce.__all__ if name not in ("FCN", "train"))
    (tmp_path / "python" / "some.rst").write_text("".join(named))
    build.add_missing_names(tmp_path)
    more = (tmp_path / "python" / "more.rst").read_text()
    assert ".. autoclass:: atonce.FCN\n   :members:" in more and ".. autofunction:: atonce.train\n" in more
    assert more.count("::") == 2, "and nothing else"
    assert (tmp_path / "python.rst").read_text().endswith("   python/some\n   python/more\n")
