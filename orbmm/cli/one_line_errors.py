"""The group of all commands: any error, also in the use of a command, is one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from orbmm.cli.screen import wrap_words
from orbmm.errors import OrbmmError, OutOfMemory, SettingsError, name_nearest, quote_reason
from orbmm.plain_text import make_line

# Newer typers bring a click of their own, older ones use the package: this is the class of whichever is there.
if TYPE_CHECKING:
    from typer._click.core import Command, Context
    from typer._click.exceptions import UsageError
else:
    UsageError = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")

_NOT_LOADED = ("Cannot allocate memory", "failed to map segment")
_ENOUGH_BYTES = 4e9  # to load torch


class OneLineErrors(TyperGroup):
    """A command group that prints an OrbmmError or a usage error as one line on stderr and exits with its code.

    Any other exception keeps its traceback.
    """

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Read the options in front of the command."""
        with _explain_usage(ctx):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Find the command. Raises SettingsError, with the nearest name, if there is none."""
        if args[0] not in self.commands:
            raise SettingsError(f"unknown command '{args[0]}'; {name_nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Context) -> object:
        """Run the requested command."""
        try:
            with _explain_usage(ctx):
                return super().invoke(ctx)
        except OrbmmError as error:
            if ctx.params["debug"]:
                raise
            typer.echo(wrap_words(f"error: {make_line(str(error))}", sys.stderr), err=True)
            raise typer.Exit(error.exit_code) from error
        except (MemoryError, ImportError) as error:
            if ctx.params["debug"] or not _is_out_of_memory(error):
                raise
            advice = "free some, raise the limit of the job (`ulimit -v`, --mem), or use a machine with more"
            typer.echo(f"error: not enough memory{quote_reason(error)}; {advice}", err=True)
            raise typer.Exit(OutOfMemory.exit_code) from error


def _is_out_of_memory(error: MemoryError | ImportError) -> bool:
    """Tell whether memory is what lacked; a library that cannot be loaded for that reason raises ImportError."""
    from orbmm.model.inference.free_memory import read_free_host_bytes

    if isinstance(error, MemoryError):
        return True
    return any(words in str(error) for words in _NOT_LOADED) and read_free_host_bytes() < _ENOUGH_BYTES


@contextmanager
def _explain_usage(ctx: Context) -> Iterator[None]:
    """Exit with code 2 and one line instead of typer's usage, hint and box."""
    try:
        yield
    except UsageError as error:
        command = error.ctx.command_path if error.ctx else _name_command(ctx)
        message = " ".join(error.format_message().split()).rstrip(".")
        typer.echo(wrap_words(f"error: {make_line(message)}; see {command} --help", sys.stderr), err=True)
        raise typer.Exit(2) from error


def _name_command(ctx: Context) -> str:
    """Return the name of the called command for an error without a context, raised before the command had one."""
    return f"{ctx.command_path} {ctx.invoked_subcommand or ''}".rstrip()
