"""The documentation holds: links lead somewhere, names exist, commands have these options, pictures are of this code."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from atonce.recipes import load_recipe
from tests.commands import command_group

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], key=str)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FOLDERS = ("src", "tests", "docs", "benchmarks")
COMMAND = re.compile(r"(?:^|(?<=\s)|(?<=-m ))(?:\.venv/bin/)?atonce (?P<words>.*)")


def of(chosen: Iterable[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", list(chosen), ids=lambda page: page.relative_to(ROOT).as_posix())


pages = of(PAGES)
pages_of_today = of(page for page in PAGES if page.name != "CHANGELOG.md")
"""The changelog tells of what is gone, too."""


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page.read_text("utf-8"))


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text("utf-8")) if kind == language]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "") for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


def defined_in(path: Path) -> set[str]:
    """Names that a Python file defines: functions, classes, `Class.method`, and constants."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
            names |= {name for method in methods for name in (method, f"{node.name}.{method}")}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_there_are_pages() -> None:
    names = {page.name for page in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "performance.md", "metrics.md"} <= names


@pages
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for match in LINK.finditer(prose(page)):
        target, _, anchor = match["target"].partition("#")
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            dead.append(match["target"])
    assert dead == []


@pages_of_today
def test_files_that_are_named_exist(page: Path) -> None:
    """`tests/data/trees.py` in backticks is a path from the root; `training/loop.py`, one inside the package."""
    text = page.read_text("utf-8")
    named = {word for span in CODE.findall(prose(page)) for word in span.split()}
    named |= set(re.findall(r"\b(?:src|tests|docs|benchmarks)/[\w./-]*\w", text))
    missing = []
    for word in sorted(named):
        path = word.strip("(),.:;\"'").partition("::")[0]
        # `layouts/NAME.py` stands for any name.
        if not re.fullmatch(r"[\w./-]+", path) or path != path.lower():
            continue
        first = path.split("/")[0]
        if "/" in path and (first in FOLDERS or path.endswith((".py", ".md"))):
            places = [ROOT / path] if first in FOLDERS else [ROOT / path, ROOT / "src" / "atonce" / path]
            if not any(place.exists() for place in places):
                missing.append(path)
    assert missing == []


@pages_of_today
def test_modules_and_names_of_the_package_exist(page: Path) -> None:
    unknown = []
    for name in sorted(set(re.findall(r"\batonce(?:\.[a-zA-Z_]\w*)+", page.read_text("utf-8")))):
        if not exists(name):
            unknown.append(name)
    assert unknown == []


def exists(name: str) -> bool:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        try:
            for part in parts[end:]:
                found = getattr(found, part)
        except AttributeError:
            return False
        return True
    return False


def test_each_claim_names_code_and_tests_that_exist() -> None:
    """The table of README: in a cell, the names in backticks after a link to a file are defined in that file."""
    text = (ROOT / "README.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| **")]
    assert len(rows) >= 7, "a claim for each detail that decides whether an FCN-8s learns"
    for row in rows:
        _, code, proof, worth = row.strip("| ").split(" | ")
        assert worth
        files = list(LINK.finditer(code))
        assert files, code
        for position, match in enumerate(files):
            end = files[position + 1].start() if position + 1 < len(files) else len(code)
            names = CODE.findall(code[match.end() : end])
            assert names and set(names) <= defined_in(ROOT / match["target"]), (match["target"], names)
        tests = list(LINK.finditer(proof))
        assert tests, proof
        for match in tests:
            assert match["text"].strip("`") in defined_in(ROOT / match["target"]), match["text"]


def test_tests_that_are_named_exist() -> None:
    known = {name for path in (ROOT / "tests").rglob("test_*.py") for name in defined_in(path)}
    known |= {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    for page in PAGES:
        named = set(re.findall(r"`(test_\w+)`", prose(page)))
        assert named <= known, (page.name, named - known)


def test_pages_that_docstrings_send_to_exist() -> None:
    sources = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 200
    for path in sources:
        for page in re.findall(r"\bdocs/[\w-]+\.(?:md|svg|jpg)", path.read_text("utf-8")):
            assert (ROOT / page).is_file(), f"{path.relative_to(ROOT)} sends to {page}"


def test_the_package_names_pages_of_the_documentation_by_their_titles() -> None:
    """Whoever has the wheel alone has no docs/own-data.md; the site makes links of the titles."""
    titles = {
        re.findall(r"^# (.+)$", page.read_text("utf-8"), re.MULTILINE)[0] for page in (ROOT / "docs").glob("*.md")
    }
    named: set[str] = set()
    for path in (ROOT / "src").rglob("*"):
        # The one that makes a page says which file that is.
        if path.suffix not in {".py", ".yaml", ".html", ".js"} or path.name == "reference.py":
            continue
        text = path.read_text("utf-8")
        assert re.findall(r"\bdocs/[\w-]+\.\w+", text) == [], path.relative_to(ROOT)
        text = re.sub(r"\s*\n\s*(?:# )?", " ", text)
        named |= set(re.findall(r"\b[Pp]age \"([A-Z][^\"]*|atonce \w+)\"", text))
    assert len(named) > 8 and named <= titles


NEEDS_A_CLONE = re.compile(
    r"(?m)^make [a-z]|`make [a-z]|python -m (?:benchmarks|models)|benchmarks/\S+\.(?:py|sh|yaml)"
)


@pytest.mark.parametrize(
    "name", ["README", "SECURITY", *(f"docs/{page.stem}" for page in (ROOT / "docs").glob("*.md"))]
)
def test_a_page_with_commands_of_the_repository_says_that_they_are(name: str) -> None:
    text = (ROOT / f"{name}.md").read_text("utf-8")
    text = re.sub(r"(?s)<!--.*?-->", "", text)
    if name != "docs/README" and NEEDS_A_CLONE.search(text):
        assert re.search(r"\bclone\b", text), NEEDS_A_CLONE.search(text)


@pages
def test_python_in_pages_compiles(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")


@pages
def test_no_page_needs_another_machine(page: Path) -> None:
    found = re.findall(r"\.\./shared|(?<![\w.])/(?:work|tmp|root|home)/\S*", page.read_text("utf-8"))
    assert found == []


@pages
def test_commands_have_the_options_that_pages_give_them(page: Path) -> None:
    group = command_group()
    spans = CODE.findall(prose(page)) + [
        line for text in blocks(page, "") for line in text.replace("\\\n", " ").splitlines()
    ]
    wrong = []
    for line in spans:
        match = COMMAND.search(line)
        # A synopsis, such as `atonce doctor DATA [--json]`, is no command.
        if match is None or "[--" in line:
            continue
        words = shlex.split(re.split(r" [|>&]|  #", match["words"])[0])
        wrong += [f"{line.strip()}: {mistake}" for mistake in mistakes(group, words)]
    assert wrong == []


@pages
def test_recipes_and_settings_that_pages_give_are_those_that_there_are(page: Path) -> None:
    for line in commands_in(page):
        words = shlex.split(re.split(r" [|>&]|  #", line)[0])
        recipe = next((words[i + 1] for i, word in enumerate(words) if word == "--recipe"), "folder")
        settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        # A recipe of the reader's own is not there.
        if recipe.endswith(".yaml") and not (ROOT / recipe).is_file():
            recipe = "folder"
        load_recipe(str(ROOT / recipe) if recipe.endswith(".yaml") else recipe, settings)


def commands_in(page: Path) -> list[str]:
    """The words after `atonce` in a page's commands train and ablate, apart from half-written ones."""
    lines = [line for text in blocks(page, "") for line in text.replace("\\\n", " ").splitlines()]
    found = (COMMAND.search(line) for line in lines if "[--" not in line and "<TAB>" not in line)
    return [m["words"] for m in found if m and m["words"].startswith(("train ", "ablate "))]


def mistakes(command: Any, words: list[str]) -> list[str]:
    """What is wrong with the words after `atonce`."""
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        name, *words = words
        if name not in command.commands:
            return [f"there is no command {name}"] if re.fullmatch(r"[a-z]+", name) else []
        command = command.commands[name]
    options = {flag: param for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    used = [word.partition("=")[0] for word in words if word.startswith("--")]
    unknown = [f"there is no option {flag}" for flag in used if flag not in {*options, "--help"}]
    twice = [
        f"{flag} is given twice"
        for flag in set(used)
        if used.count(flag) > 1 and flag in options and not options[flag].multiple
    ]
    return unknown + twice


def test_the_figure_of_the_network_is_of_this_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python docs/draw_network.py > docs/network.svg` after a change of the network or of the drawing."""
    spec = importlib.util.spec_from_file_location("draw_network", ROOT / "docs" / "draw_network.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "draw_network", module)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "network.svg").read_text("utf-8") == module.draw()


def test_the_picture_of_the_house_is_the_contract() -> None:
    """CONTRIBUTING.md shows the layers that import-linter keeps."""
    (house,) = blocks(ROOT / "CONTRIBUTING.md", "house")
    shown = [re.split(r"\s{2,}", line)[0] for line in house.splitlines() if line.strip() != "|"]
    contract = re.search(r"^layers = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text("utf-8"), re.M | re.S)
    assert contract
    kept = [line.replace("atonce.", "") for line in re.findall(r'"([^"]+)"', contract[1])]
    assert shown == kept
