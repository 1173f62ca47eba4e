"""The command line: the only room that prints or exits. Exit codes: 0 done, 2 the user's mistake, 1 our fault."""

from __future__ import annotations

import sys
from typing import cast

import typer

from atonce.cli.app import app
from atonce.errors import UserError

__all__ = ["app", "main"]

# typer brings click under its own name or as a package of its own, by version; this is UsageError of either.
_UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])


def main() -> None:
    """Run a command; a user's mistake is one line on stderr, never a traceback."""
    # Commands register themselves; each imports its heavy rooms only when it runs.
    from atonce.cli import (  # noqa: F401
        ablate,
        demo,
        doctor,
        evaluate,
        export,
        predict,
        recipes,
        serve,
        submit,
        train,
        weights,
    )

    try:
        sys.exit(app(prog_name="atonce", standalone_mode=False))
    except UserError as error:
        sys.stderr.write(f"atonce: {error.for_command_line()}\n")
        sys.exit(2)
    except _UsageError as error:
        sys.stderr.write(_usage(error))
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("atonce: stopped\n")
        sys.exit(130)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        sys.stderr.write(
            "atonce: the GPU's memory is full; lower train.batch_size or data.crop, raise train.accumulate\n"
        )
        sys.exit(2)


def _usage(error: Exception) -> str:
    """Say in one line what was wrong with the words of the command, and where they are explained."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""  # the help has been printed already
    message = " ".join(getattr(error, "format_message", error.__str__)().split()).rstrip(".")
    return f"atonce: {message}; see {context.command_path if context else 'atonce'} --help\n"
