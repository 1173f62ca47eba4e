"""Messages that name options: as parameters in Python, as flags on the command line."""

from __future__ import annotations

import pickle

import pytest

from atonce.errors import DataError, DataErrorOfLines, UserError, as_command_line, as_python, option


@pytest.mark.parametrize(
    ("mention", "python", "command_line"),
    [
        (option("engine", "openvino"), "engine='openvino'", "--engine openvino"),
        (option("max_minutes", 4), "max_minutes='4'", "--max-minutes 4"),
        (option("resume", value=True), "resume=True", "--resume"),
        (option("ground_truth"), "`ground_truth`", "--ground-truth"),
        (option("set", "optim.lr=1e-4"), "overrides='optim.lr=1e-4'", "--set optim.lr=1e-4"),
        (option("out", "my runs/a"), "out='my runs/a'", "--out 'my runs/a'"),
        (option("out", "-"), "out='-'", "--out -"),
    ],
)
def test_an_option_is_written_in_its_readers_language(mention: str, python: str, command_line: str) -> None:
    message = f"before {mention} after {mention}"
    assert as_python(message) == f"before {python} after {python}"
    assert as_command_line(message) == f"before {command_line} after {command_line}"


def test_a_user_error_is_one_line_in_both_languages() -> None:
    error = UserError(f"{option('a', 1)} found", option("b_c"), f"leave out {option('d', value=True)}")
    assert str(error) == "a='1' found; expected `b_c`; leave out d=True"
    assert error.for_command_line() == "--a 1 found; expected --b-c; leave out --d"
    assert (error.found, error.expected, error.remedy) == ("a='1' found", "`b_c`", "leave out d=True")


def test_an_error_that_comes_from_another_process_keeps_its_message() -> None:
    error = pickle.loads(pickle.dumps(DataError("x.png is empty", "a picture", f"see {option('split')}")))
    assert isinstance(error, DataError)
    assert str(error) == "x.png is empty; expected a picture; see `split`"


@pytest.mark.parametrize("mark", ["\n", "\r", "\x1b[2J", "\x85", "\u2028", "\u202e"])
def test_a_name_writes_no_lines_of_a_message(mark: str) -> None:
    error = DataError(f"a{mark}atonce: all is well.png is no picture", f"b{mark}c", f"d{mark}e")
    for told in (str(error), error.for_command_line(), error.found, error.expected, error.remedy):
        assert mark not in told and mark.encode("unicode_escape").decode() in told
    again = DataError(*pickle.loads(pickle.dumps(error)).parts)
    assert str(again) == str(error)


def test_several_problems_have_a_line_each() -> None:
    error = DataErrorOfLines("2 problems:\n  a\x1b.png\n  b.png")
    assert error.for_command_line() == str(error) == "2 problems:\n  a\\x1b.png\n  b.png"
