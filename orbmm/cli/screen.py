"""Print the output of the command line.

Control characters in names and messages are printed visibly, so that they cannot act on the terminal.
"""

from __future__ import annotations

import logging
import shutil
import sys
import textwrap
import warnings
from typing import TYPE_CHECKING, Literal, TextIO

import typer

from orbmm.plain_text import escape_controls

if TYPE_CHECKING:
    from rich.console import Console

_USUAL_FORMAT = warnings.formatwarning


def say(line: str, *, bold: bool = False) -> None:
    """Print one line; on a terminal it is broken between words, into files and pipes it stays one."""
    text = wrap_words(escape_controls(line), sys.stdout)
    typer.echo(typer.style(text, bold=True) if bold else text, file=sys.stdout)  # named: a bar of progress replaces it


def wrap_words(text: str, stream: TextIO) -> str:
    """Return text with its lines broken between words at the width of a terminal; as it is for another stream.

    A word that is longer than the terminal is wide, such as a path, is not cut.
    """
    if not stream.isatty():
        return text
    wide = max(20, shutil.get_terminal_size().columns)
    lines = (textwrap.wrap(line, wide, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    return "\n".join("\n".join(line) for line in lines)


def plain_warnings() -> None:
    """Let Python's warnings, in which libraries quote lines of a file, do nothing to the terminal either."""
    warnings.formatwarning = _format_warning


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return escape_controls(_USUAL_FORMAT(message, category, filename, lineno, line), keep="\n")


class ScreenHandler(logging.StreamHandler[TextIO]):
    """A log handler for the terminal: lines end between words, and none is drawn over a bar of progress.

    The stream is looked up for each message, since the bar puts one of its own in the place of `sys.stdout`.
    """

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        super().__init__(getattr(sys, name))
        self._name = name

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        self.stream = getattr(sys, self._name)
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the message in lines."""
        return wrap_words(super().format(record), self.stream)


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
