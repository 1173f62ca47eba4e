"""Tests that need what not every operating system has are marked, so that the others run there (tests/systems.py)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

HERE = Path(__file__).parent
NEEDS = {
    r"signal\.SIG(KILL|HUP|STOP|XFSZ)|send_signal\(|killpg|\bkill\(|\binterrupt\(": "needs_signals",
    r"\bchildren_of\(|\bis_alive\(\w|\bkill\(nodes|/proc/self": "needs_processes_listed",
    r"os\.mkfifo": "needs_pipes",
    r"symlink_to\(": "needs_links",
    r"setrlimit|getrusage|preexec_fn": "needs_linux_memory",
}
"""What a test says, and the mark that it then has to bear."""


def modules_there() -> list[Path]:
    """The files that the machines with other systems run: all but the folders that the workflow leaves out."""
    workflow = yaml.safe_load((HERE.parent / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    left_out = {
        HERE.parent / name for name in re.findall(r"--ignore (\S+?)[\s'\"]", str(workflow["jobs"]["other-systems"]))
    }
    assert len(left_out) >= 3, "the workflow is written another way"
    assert all(folder.is_dir() for folder in left_out), left_out
    return [path for path in sorted(HERE.rglob("test_*.py")) if not left_out & set(path.parents)]


def marked_functions(path: Path) -> Iterator[tuple[str, str, str]]:
    """Each test of a file: its name, its marks and those of the file, its text."""
    tree = ast.parse(path.read_text("utf-8"))
    statements = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign)]
    general = " ".join(text for text in statements if text.startswith("pytestmark = "))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = " ".join(map(ast.unparse, node.decorator_list))
            yield node.name, f"{general} {marks}", "\n".join(map(ast.unparse, node.body))


def test_what_not_every_system_has_is_asked_for() -> None:
    missing = [
        f"{path.relative_to(HERE)}: {name} needs @{mark}"
        for path in modules_there()
        if path != Path(__file__)
        for name, marks, text in marked_functions(path)
        for pattern, mark in NEEDS.items()
        if re.search(pattern, text) and mark not in marks
    ]
    assert missing == []


def test_the_marks_are_those_that_there_are() -> None:
    text = (HERE / "systems.py").read_text("utf-8")
    assert {*re.findall(r"^(needs_\w+) =", text, re.MULTILINE)} >= {*NEEDS.values()}
