"""The command line: the only package that prints or exits.

Exit codes: 0 done, 2 the user's mistake, 1 our fault, 128 + n ended by the signal n (130 for Ctrl-C).
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import cast

import typer

from atonce.cli.app import CommandStopped, app
from atonce.cli.bash_words import joined_words
from atonce.cli.endings import lost_process_line, out_of_memory_line, stopped_line, unreachable_line
from atonce.cli.terminal import columns_of, make_streams_printable
from atonce.errors import UserError
from atonce.signals import exit_code_of, raise_at_termination
from atonce.text import wrapped
from atonce.threads import fixed_threads

__all__ = ["app", "main"]

# typer brings click under its own name or as a package of its own, by version; this is UsageError of either.
_UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])


def main() -> None:
    """Run a command; a user's mistake is one line on stderr, never a traceback."""
    make_streams_printable()
    try:
        raise_at_termination()
        fixed_threads()
        # Commands register themselves; each imports its heavy packages only when it runs.
        from atonce.cli import (  # noqa: F401
            ablate,
            card,
            demo,
            doctor,
            evaluate,
            export,
            info,
            predict,
            push,
            recipes,
            serve,
            submit,
            train,
            weights,
        )

        with joined_words():
            code = app(prog_name="atonce", standalone_mode=False)
        with suppress(BrokenPipeError):
            # Here, where it can still be told that the disk is full.
            sys.stdout.flush()
        sys.exit(code)
    except UserError as error:
        if not error.is_told:
            sys.stderr.write(f"{wrapped(f'atonce: {error.for_command_line()}', columns_of(sys.stderr))}\n")
        sys.exit(2)
    except _UsageError as error:
        sys.stderr.write(_usage(error))
        sys.exit(2)
    except (KeyboardInterrupt, CommandStopped, typer.Abort) as error:
        sys.stderr.write(f"atonce: {stopped_line()}\n")
        sys.exit(exit_code_of(error.__cause__ or error))
    except (RuntimeError, MemoryError, OSError) as error:
        line = out_of_memory_line(error) or lost_process_line(error) or unreachable_line(error)
        if line is None:
            raise
        sys.stderr.write(f"atonce: {line}\n")
        sys.exit(2)


def _usage(error: Exception) -> str:
    """Say in one line what was wrong with the words of the command, and where they are explained."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""  # the help has been printed already
    if type(error).__name__ == "NoSuchOption":
        # Other commands, and the knobs of a recipe, are looked up only now that a mistake has been made.
        from atonce.cli.unknown_options import unknown_option_line

        message = unknown_option_line(getattr(error, "option_name", ""), context)
    else:
        message = _in_our_words(" ".join(getattr(error, "format_message", error.__str__)().split()).rstrip("."))
    line = f"atonce: {message}; see {context.command_path if context else 'atonce'} --help"
    return f"{wrapped(line, columns_of(sys.stderr))}\n"


_LIBRARY_WORDS = (
    (r"Invalid value for '(\S+)': (?:Value error, )?'(.*)' is not one of (.*)", r"\1 \2; expected one of \3"),
    (r"Invalid value for '(\S+)': Input should be a valid number.*", r"\1 is no number; expected one"),
    (r"Invalid value for '(\S+)': Input should be a valid integer.*", r"\1 is no whole number; expected one"),
    (
        r"Invalid value for '(\S+)': Input should be greater than or equal to (.*)",
        r"\1 is too small; expected \2 at least",
    ),
    (r"Invalid value for '(\S+)': Input should be less than or equal to (.*)", r"\1 is too large; expected \2 at most"),
    (r"Invalid value for '(\S+)': Input should be (.*)", r"\1: expected \2"),
    (r"Invalid value for '(\S+)': (?:Value error, )?(.*)", r"\1: \2"),
    (r"(No such command .*?)\. Did you mean (.*?)\?", r"\1; did you mean \2?"),
)
"""Patterns of what typer, and the library that checks its values, say -> our words."""


def _in_our_words(message: str) -> str:
    """Say what a library says of a mistake as the rest of the messages do: what was found, what was expected."""
    for theirs, ours in _LIBRARY_WORDS:
        if found := re.fullmatch(theirs, message):
            return found.expand(ours)
    return message
