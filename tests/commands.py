"""Commands in this process, as a shell would run them: what they say, where, and how they exit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
import typer

from atonce import cli
from atonce.cli import main


@dataclass(frozen=True)
class Outcome:
    """The exit code of a command, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def mistake(self) -> str:
        """The one line on stderr that tells a user's mistake, with what it lists below, indented; progress and notes may
        stand above it."""
        assert self.code == 2, f"exit code {self.code}\n{self.err}"
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        told = [line for line in lines if line.startswith("atonce: ")]
        assert len(told) == 1, self.err
        after = lines[lines.index(told[0]) + 1 :]
        assert all(line.startswith("  ") for line in after), "something was said after it"
        return "\n".join([told[0], *after])


def command_group() -> Any:
    """`atonce` with all its commands, which register themselves when they are imported."""
    for module in iter_modules(cli.__path__):
        import_module(f"atonce.cli.{module.name}")
    return typer.main.get_command(cli.app)


def all_commands() -> dict[str, Any]:
    """Every command that the help shows, by its words: "train", "weights verify"."""
    return dict(_commands(command_group()))


def _commands(group: Any, *before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, *before, name)
        elif not command.hidden:
            yield " ".join([*before, name]), command


Command = Callable[..., Outcome]


@pytest.fixture
def atonce(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `atonce WORD...` in this process, as a shell of 80 columns would."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["atonce", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, said.out, said.err)

    return run
