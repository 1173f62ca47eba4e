"""The rules of the house that can be read off the source (CONTRIBUTING.md): docstrings, flags, private names, words."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import atonce

SOURCE = Path(atonce.__file__).parent
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))

OPENINGS = (
    "After", "As", "At", "Before", "By", "For", "From", "How", "In", "On", "Of", "Over", "Raises", "To", "Under",
    "What", "Where", "Whether", "Which", "Who", "With", "Without",
)  # fmt: skip
"""No docstring begins with one of these: a sentence says first what the thing is or does."""

FORMER_WORDS = (
    "grown", "taught", "equip", "standardise", "Sureness", "Outlines", "Sink", "Desk", "Visit", "Holding", "Teller",
    "_Crew", "rims", "Look",
)  # fmt: skip
"""Names of this package's own that have given way to the field's: `extend_to_stride`, `VideoWriter`, `borders`, ..."""

NAMED_BY_THEIR_FOLDER = {"formats", "layouts", "kitti_road"}
"""Folders whose name says what a file in them holds: the format of a data set, the layout of weights."""


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((SOURCE / module).read_text("utf-8"), module)


def docstrings(module: str) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring, those below constants and attributes included."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in node.body:
                value = statement.value if isinstance(statement, ast.Expr) else None
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield statement.lineno, value.value


def strings(module: str) -> Iterator[tuple[int, str]]:
    """Line and text of every string that is no docstring, the fixed parts of f-strings included."""
    documented = {(line, text) for line, text in docstrings(module)}
    for node in ast.walk(tree_of(module)):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and (node.lineno, node.value) not in documented
        ):
            yield node.lineno, node.value


def test_the_package_is_found() -> None:
    assert len(MODULES) > 100
    assert sum(1 for module in MODULES for _ in docstrings(module)) > 500


@pytest.mark.parametrize("module", MODULES)
def test_a_docstring_opens_on_what_the_thing_is_or_does(module: str) -> None:
    opening = re.compile(rf"\s*(?:(?:{'|'.join(OPENINGS)})\b|(?:Attributes|Args|Returns|Yields):)")
    assert [f"line {line}: {text.strip()[:60]}" for line, text in docstrings(module) if opening.match(text)] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(tree_of(module))


# A flag: two hyphens and a word. CSS has custom properties, `--ink:` and `var(--ink)`, which are none.
FLAG = re.compile(r"(?<![\w-])(?<!var\()--[a-z][a-z-]+\b(?!\s*:)")
WITH_FLAGS = {
    "errors.py": "it writes options as flags",
    "provenance.py": "it calls git",
    "recipes/reference.py": "`python -m atonce.recipes.reference` is a command of its own, and its page shows one",
}


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith("cli/") and m not in WITH_FLAGS])
def test_nothing_below_the_command_line_speaks_of_flags(module: str) -> None:
    assert [f"line {line}: {text[:60]}" for line, text in strings(module) if FLAG.search(text)] == []


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("add --resume to go on", ["--resume"]),
        ("--set loss.l2=1", ["--set"]),
        ("`--max-side`", ["--max-side"]),
        (":root { --ink: #111; color: var(--ink) }", []),
        ("a -- b, 1--2, ---", []),
    ],
)
def test_flags_are_told_from_css(text: str, flags: list[str]) -> None:
    assert FLAG.findall(text) == flags


@pytest.mark.parametrize("module", MODULES)
def test_no_module_takes_a_private_name_of_another(module: str) -> None:
    taken = [
        f"line {node.lineno}: {alias.name} of {node.module}"
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("atonce")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("atonce")
        for alias in node.names
        if (SOURCE.parent / f"{node.module}.{alias.name}".replace(".", "/")).with_suffix(".py").exists()
    }
    taken += [
        f"line {node.lineno}: {node.value.id}.{node.attr}"
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in modules
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
    ]
    assert taken == []


def test_a_file_is_found_by_its_name() -> None:
    names = Counter(
        path.name
        for path in map(Path, MODULES)
        if path.name not in ("__init__.py", "__main__.py") and path.parent.name not in NAMED_BY_THEIR_FOLDER
    )
    assert [name for name, count in names.items() if count > 1] == []


def identifiers(module: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module names: functions, classes, parameters, variables, attributes."""
    for node in ast.walk(tree_of(module)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.Name():
                yield node.lineno, node.id
            case ast.Attribute():
                yield node.lineno, node.attr
            case ast.arg() | ast.keyword() if node.arg:
                yield node.lineno, node.arg


@pytest.mark.parametrize("module", MODULES)
def test_the_former_words_do_not_come_back(module: str) -> None:
    functions = [node.name for node in ast.walk(tree_of(module)) if isinstance(node, ast.FunctionDef)]
    assert "meaning" not in functions
    assert not set(Path(module).with_suffix("").parts) & set(FORMER_WORDS)
    assert [f"line {line}: {name}" for line, name in identifiers(module) if name in FORMER_WORDS] == []
