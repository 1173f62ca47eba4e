"""The application that the commands hang on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from atonce.cli.options import with_threads


class CommandStopped(Exception):
    """A command has been ended by Ctrl-C or another signal; its cause is the KeyboardInterrupt."""


_ORDER = ("demo", "doctor", "train", "evaluate", "predict", "export", "serve", "info", "recipes", "weights", "ablate")
"""The order of commands in the help: that of use; further ones follow."""


class Command(TyperCommand):
    """A command whose help shows no type where a switch takes no value; typer's own says <bool>."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types_of_switches(super().get_params(ctx))


class Commands(TyperGroup):
    """The commands; typer itself takes a KeyboardInterrupt for 130, without a word, whatever signal it was."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types_of_switches(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise CommandStopped from error


def _without_types_of_switches(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return parameters


class Application(typer.Typer):
    """The application: what every command has in common is added to it here."""

    def command(self, *words: Any, **options: Any) -> Callable[..., Any]:
        """Register a function as a command that also has --threads."""
        register = super().command(*words, **{"cls": Command, **options})

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            register(with_threads(function))
            return function

        return decorate


app = Application(
    name="atonce",
    cls=Commands,
    help="Semantic segmentation with fully convolutional networks (FCN-32s, FCN-16s, FCN-8s on VGG-16).\n\n"
    'A page that a help or a message names, such as "Your own data", is one of the documentation.',
    no_args_is_help=True,
    add_completion=True,
    # Our own mistakes are to show a plain traceback that can be pasted into an issue.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    if wanted:
        from atonce.version import __version__

        typer.echo(f"atonce {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=show_version, is_eager=True, help="Show the version."),
) -> None:
    """Semantic segmentation with fully convolutional networks (FCN-32s, FCN-16s, FCN-8s on VGG-16)."""
