"""Gathers the subcommands and turns errors into one line and an exit code."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from orbmm import OrbmmError, __version__
from orbmm.cli.analyze import analyze
from orbmm.cli.benchmark import benchmark
from orbmm.cli.doctor import doctor
from orbmm.cli.estimate import estimate
from orbmm.cli.host_memory import keep_freed_memory
from orbmm.cli.models import models
from orbmm.cli.prepare import prepare
from orbmm.cli.report import report
from orbmm.cli.resume import resume
from orbmm.cli.run import run

# In the order of a day's work. Command files import nothing heavy before they run, so that help appears at once.
PANELS = {
    "Look around": (models, doctor, benchmark, estimate),
    "Simulate": (prepare, run, resume),
    "Look at the result": (analyze, report),
}


class OneLineErrors(TyperGroup):
    """Prints an OrbmmError as one line on stderr and exits with its code; anything else keeps its traceback."""

    def invoke(self, ctx: typer.Context) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except OrbmmError as error:
            if ctx.params["debug"]:
                raise
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error


def build_app() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(cls=OneLineErrors, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_start)
    for panel, commands in PANELS.items():
        for command in commands:
            app.command(rich_help_panel=panel)(command)
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
    logging.basicConfig(format="%(message)s", handlers=_make_handlers())
    logging.getLogger("orbmm").setLevel(logging.DEBUG if debug else logging.INFO)


def _make_handlers() -> list[logging.Handler]:
    """What goes on is told on stdout; warnings go to stderr, where an error is then the one line that it should be."""
    news = logging.StreamHandler(sys.stdout)
    news.addFilter(lambda record: record.levelno < logging.WARNING)
    warnings = logging.StreamHandler(sys.stderr)
    warnings.setLevel(logging.WARNING)
    return [news, warnings]


def main() -> None:
    """What the console script calls."""
    keep_freed_memory()
    build_app()(prog_name="orbmm")
