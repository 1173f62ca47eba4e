"""The command line: the only room that prints or exits. Exit codes: 0 done, 2 the user's mistake, 1 our fault."""

from __future__ import annotations

import sys

from atonce.cli.app import app
from atonce.errors import UserError

__all__ = ["app", "main"]


def main() -> None:
    """Run a command; a user's mistake is one line on stderr, never a traceback."""
    # Commands register themselves; each imports its heavy rooms only when it runs.
    from atonce.cli import demo, evaluate, predict, train, weights  # noqa: F401

    try:
        app()
    except UserError as error:
        sys.stderr.write(f"atonce: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("atonce: stopped\n")
        sys.exit(130)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        sys.stderr.write(
            "atonce: the GPU's memory is full; lower train.batch_size or data.crop, raise train.accumulate\n"
        )
        sys.exit(2)
