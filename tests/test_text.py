"""Counting and listing in sentences."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from atonce.text import count_of, did_you_mean, duration_text, listing, with_command, words_of, wrapped


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("picture",), "0 pictures"),
        (1, ("picture",), "1 picture"),
        (2, ("picture",), "2 pictures"),
        (1, ("class", "classes"), "1 class"),
        (3, ("class", "classes"), "3 classes"),
    ],
)
def test_a_number_agrees_with_its_noun(number: int, words: tuple[str, ...], text: str) -> None:
    assert count_of(number, *words) == text


@pytest.mark.parametrize(
    ("names", "limit", "text"),
    [
        ([], 5, ""),
        (["a"], 5, "a"),
        (["a", "b"], 2, "a, b"),
        (["a", "b", "c"], 2, "a, b and 1 more"),
        (range(12), 3, "0, 1, 2 and 9 more"),
    ],
)
def test_a_listing_says_how_many_it_leaves_out(names: list[object], limit: int, text: str) -> None:
    assert listing(names, limit) == text


def test_the_nearest_name_is_asked_for_and_none_where_none_is_near() -> None:
    assert did_you_mean("camvod", ["voc", "camvid", "kitti-road"]) == "did you mean 'camvid'?"
    assert did_you_mean("zebra", ["voc", "camvid"]) == ""
    assert did_you_mean("camvod", []) == ""


def test_lines_are_broken_between_words_and_go_on_further_in() -> None:
    assert wrapped("one two three", 8) == "one two\n  three"
    assert wrapped("  one two three\nfour", 10) == "  one two\n    three\nfour"
    assert wrapped("error    one two", 14, 9) == "error    one\n         two"
    assert wrapped("a longer-than-all-of-it b", 8) == "a\n  longer-than-all-of-it\n  b"
    assert wrapped("one two three", 0) == "one two three", "where it is no terminal"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_command_is_copied_from_a_terminal_as_it_is_typed(width: int) -> None:
    words = ["atonce", "train", "/home/me/projects/streets of Rome/data", "--out", "runs/rome-road-at-once", "--resume"]
    said = with_command("stopped; the state is kept, go on with:", words, width)
    text, _, command = said.partition("go on with:")
    assert text == "stopped; the state is kept, "
    assert shlex.split(command.replace("\\\n", "")) == words
    # A word that is longer than the terminal is left whole.
    assert all(len(line) <= max(width, 47) for line in said.splitlines())
    assert ("\n" in said) == (width < 200)
    assert with_command("go on with:", words, 0) == f"go on with: {shlex.join(words)}"


def test_durations_are_words_not_clocks() -> None:
    told = [duration_text(seconds) for seconds in (-1, 0.4, 42, 60, 988, 3599.6, 7500)]
    assert told == ["0 s", "0 s", "42 s", "1 min 00 s", "16 min 28 s", "1 h 00 min", "2 h 05 min"]


def test_counts_of_parts() -> None:
    assert [count_of(number, "minute") for number in (1.0, 0.5, 4.0, 1)] == [
        "1 minute", "0.5 minutes", "4 minutes", "1 minute",
    ]  # fmt: skip


def test_commands_stay_in_one_line_to_be_copied() -> None:
    text = (
        "no classes are known here: write the file, or atonce doctor shapes --fix-classes shapes/classes.yaml writes it"
    )
    assert wrapped(text, 60, 2).split("\n") == [
        "no classes are known here: write the file, or",
        "  atonce doctor shapes --fix-classes shapes/classes.yaml",
        "  writes it",
    ]
    text = "runs is no model; swap them: `atonce evaluate runs/a shapes`"
    assert wrapped(text, 40, 2).split("\n") == ["runs is no model; swap them:", "  `atonce evaluate runs/a shapes`"]
    assert wrapped(text, 0) == text


def test_commands_longer_than_a_line_are_broken_as_a_shell_takes_it() -> None:
    command = "atonce doctor 'a folder/of pictures' --fix-classes 'a folder/of pictures/classes.yaml'"
    lines = wrapped(f"write it: {command}", 48).split("\n")
    assert len(lines) > 2 and max(map(len, lines)) <= 48
    typed = "\n".join(lines[1:] if lines[0] == "write it:" else lines)
    assert shlex.split(typed.replace("\\\n", "")) == shlex.split(command), "a shell drops a backslash at the end"


def test_what_a_library_says_is_shortened_between_words() -> None:
    address = "https://mlflow.org/docs/latest/self-hosting/migrate-from-file-store"
    told = OSError(f"The filesystem  backend\nis in maintenance mode. See {address} for more")
    assert words_of(told) == f"The filesystem backend is in maintenance mode. See {address} for more"
    for limit in range(60, len(words_of(told))):
        short = words_of(told, limit)
        assert len(short) <= limit and short.endswith(" ...")
        assert "https" not in short or address in short, "an address is whole or not there"
    assert words_of(ValueError("x" * 300), 100) == f"{'x' * 97}..."
    assert words_of(ValueError()) == "ValueError"


def test_nobody_shortens_what_a_library_says_in_another_way() -> None:
    sources = {path: path.read_text("utf-8") for path in (Path(__file__).parents[1] / "src" / "atonce").rglob("*.py")}
    assert [path.name for path, text in sources.items() if re.search(r"str\(error\)(\.split\(\)\))?\[:", text)] == []
