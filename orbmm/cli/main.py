"""Gather the subcommands under one command line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from orbmm import __version__
from orbmm.cli.analyze import analyze
from orbmm.cli.benchmark import benchmark
from orbmm.cli.choose import choose
from orbmm.cli.diagnose import diagnose
from orbmm.cli.distill import distill
from orbmm.cli.doctor import doctor
from orbmm.cli.ensemble import ensemble
from orbmm.cli.estimate import estimate
from orbmm.cli.host_memory import require_free_memory
from orbmm.cli.label import label
from orbmm.cli.models import models
from orbmm.cli.new import new
from orbmm.cli.one_line_errors import OneLineErrors
from orbmm.cli.prepare import prepare
from orbmm.cli.report import report
from orbmm.cli.resume import resume
from orbmm.cli.run import run
from orbmm.cli.screen import PlainFormatter, ScreenHandler, plain_warnings
from orbmm.cli.streams import find_exit_code, protect_streams
from orbmm.cli.train import train
from orbmm.model.inference.allocator import keep_freed_memory

# In the order of a day's work. Command files import nothing heavy before they run, so that help appears at once.
_LOOK_AROUND, _SIMULATE = "Look around", "Simulate"
PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    _LOOK_AROUND: (models, doctor, benchmark, estimate),
    _SIMULATE: (new, prepare, run, resume, ensemble),
    "Look at the result": (analyze, report, diagnose),
    "Make a model": (choose, label, train, distill),
}

_LIGHT = ("models", "new")  # load no numerical library


def build_app() -> typer.Typer:
    """Build the whole command line."""
    app = typer.Typer(
        cls=OneLineErrors, invoke_without_command=True, add_completion=False, pretty_exceptions_enable=False
    )
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
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Run molecular dynamics of proteins with the Orb-v3 potential in OpenMM.

    Start with `orbmm new alanine-dipeptide`.

    `orbmm doctor` checks the installation, `orbmm models` lists the networks.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit
    if ctx.invoked_subcommand not in _LIGHT:
        require_free_memory()
    plain_warnings()
    logging.basicConfig(handlers=_make_handlers())
    logging.getLogger("orbmm").setLevel(logging.DEBUG if debug else logging.INFO)


def _make_handlers() -> list[logging.Handler]:
    """Return the log handlers: progress goes to stdout, warnings go to stderr.

    So an error on stderr is exactly one line.
    """
    news = ScreenHandler("stdout")
    news.addFilter(lambda record: record.levelno < logging.WARNING)
    warnings = ScreenHandler("stderr")
    warnings.setLevel(logging.WARNING)
    for handler in (news, warnings):
        handler.setFormatter(PlainFormatter("%(message)s"))
    return [news, warnings]


def main() -> None:
    """Run the command line; the entry point of the console script."""
    keep_freed_memory()
    panel = _find_panel(sys.argv[1:])
    output = protect_streams(tell_broken_pipe=panel == _SIMULATE)
    try:
        build_app()(prog_name="orbmm")
    except SystemExit as end:
        raise SystemExit(end.code or (find_exit_code(output) if panel == _LOOK_AROUND else 0)) from end


def _find_panel(words: list[str]) -> str:
    """Return the panel of the command that was called; without a command, only help or version are printed."""
    name = next((word for word in words if not word.startswith("-")), "")
    return next(
        (panel for panel, commands in PANELS.items() if name in [one.__name__ for one in commands]), _LOOK_AROUND
    )
