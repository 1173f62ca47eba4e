"""Running `atonce` in this process, as a shell would."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from atonce.cli import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ran:
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(sys, "argv", ["atonce", *map(str, arguments)])
        main()
    said = capsys.readouterr()
    return Ran(int(caught.value.code or 0), said.out, said.err)
