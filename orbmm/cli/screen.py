"""Print the output of the command line.

Control characters in names and messages are printed visibly, so that they cannot act on the terminal.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import typer

from orbmm.plain_text import escape_controls

if TYPE_CHECKING:
    from rich.console import Console

_USUAL_FORMAT = warnings.formatwarning


def say(line: str) -> None:
    """Print one line."""
    typer.echo(escape_controls(line))


def plain_warnings() -> None:
    """Let Python's warnings, in which libraries quote lines of a file, do nothing to the terminal either."""
    warnings.formatwarning = _format_warning


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return escape_controls(_USUAL_FORMAT(message, category, filename, lineno, line), keep="\n")


class PlainFormatter(logging.Formatter):
    """A log formatter that writes each message as one line; a traceback below it is not changed."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return escape_controls(super().formatMessage(record))


def open_console(*, markup: bool = False) -> Console:
    """Return a rich console on stdout for text that may contain names from files and users.

    markup: True if the text has styles in brackets; text from elsewhere must then be escaped
    """
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        """A console that prints control characters visibly in every text, cells of tables included."""

        def render_str(self, text: str, **options: object) -> Text:
            """Return the text with its styles."""
            return super().render_str(escape_controls(text, keep="\n"), **options)  # type: ignore[arg-type]

    return PlainConsole(markup=markup, highlight=False, emoji=False)
