"""Gathers the subcommands and turns errors into one line and an exit code."""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated

import typer
from typer.core import TyperGroup

from orbmm import OrbmmError, __version__

# In the order of a day's work; each is the function of that name in the file of that name.
_COMMANDS = {
    "models": "Look around",
    "doctor": "Look around",
    "prepare": "Simulate",
    "run": "Simulate",
    "resume": "Simulate",
    "analyze": "Look at the result",
}


class OneLineErrors(TyperGroup):
    """Prints an OrbmmError as one line on stderr and exits with its code; anything else keeps its traceback."""

    def invoke(self, ctx: typer.Context) -> object:
        try:
            return super().invoke(ctx)
        except OrbmmError as error:
            if ctx.params["debug"]:
                raise
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error


def build_app() -> typer.Typer:
    """The whole command line. Command files import nothing heavy before they run, so that help appears at once."""
    app = typer.Typer(cls=OneLineErrors, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_start)
    for name, panel in _COMMANDS.items():
        if find_spec(f"orbmm.cli.{name}") is None:
            continue
        command = getattr(import_module(f"orbmm.cli.{name}"), name)
        app.command(name, rich_help_panel=panel)(command)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"orbmm {__version__}")
        raise typer.Exit


def _start(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Molecular dynamics of proteins with the Orb-v3 potential in OpenMM.

    Start with `orbmm run systems/alanine-dipeptide/system.toml`, or see `orbmm models` and `orbmm doctor`.
    """
    logging.basicConfig(format="%(message)s")
    logging.getLogger("orbmm").setLevel(logging.DEBUG if debug else logging.INFO)


def main() -> None:
    """What the console script calls."""
    build_app()(prog_name="orbmm")
