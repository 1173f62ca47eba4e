"""The command `atonce`, also as `python -m atonce`, which is what accelerate and torchrun start."""

from __future__ import annotations

import signal


def main() -> None:
    """Import the command line and run it.

    Until it is there to say what is left of the work, Ctrl-C ends the process as it ends any program: silently.
    """
    python_handles_it = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if python_handles_it:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from atonce import cli

    if python_handles_it:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()


if __name__ == "__main__":  # processes that draw streets import this module again
    main()
