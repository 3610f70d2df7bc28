"""Text from files, settings and other libraries, made safe for a terminal, a log, a page and a shell."""

from __future__ import annotations

import os
import reprlib
import shlex
import unicodedata
from pathlib import Path

LONGEST_LINE = 700
"""Characters of an error: more than any sentence of orbmm has, less than ten lines of a terminal."""

_CONTROLS = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # format characters that Persian, Indian scripts and emoji are spelled with
_LONGEST_INTEGER = 256  # bits
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxother = 100


def is_control(character: str) -> bool:
    """Tell whether a character moves the cursor, ends a line, reverses text or is none (a lone surrogate)."""
    return unicodedata.category(character) in _CONTROLS and character not in _JOINERS


def escape_controls(text: str, keep: str = "") -> str:
    r"""Return the text with each control character written out, as in \x1b; letters of all languages stay as they are.

    keep: control characters that stay, such as line ends
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if is_control(character) and character not in keep else character
        for character in text
    )


def make_line(text: str) -> str:
    """Return one line for a terminal or a log: control characters written out, the middle of a long text left out."""
    if len(text) > LONGEST_LINE:
        half = (LONGEST_LINE - 5) // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return escape_controls(text)


def guard_cell(cell: object) -> object:
    """Return a cell of a table as it is, but a text with ' before it where a spreadsheet would run it as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


def describe_value(value: object) -> str:
    """Return what a person wrote as a value, at most some 100 characters of it."""
    if type(value) is int and value.bit_length() > _LONGEST_INTEGER:  # Python refuses to write 4,300 digits
        return f"a whole number of {value.bit_length()} bits"
    return _SHORT.repr(str(value) if isinstance(value, Path) else value)


def quote_command(*words: str | Path) -> str:
    """Return a command that a shell reads as these words: `orbmm resume 'my run'`.

    A path that begins with a hyphen gets ./ before it, so that it is not taken for an option.
    """
    return " ".join(_quote_path(word) if isinstance(word, Path) else _quote(word) for word in words)


def _quote_path(path: Path) -> str:
    return _quote(f"./{path}" if str(path).startswith("-") else str(path))


def _quote(word: str) -> str:
    if not any(is_control(character) for character in word):
        return shlex.quote(word)
    return f"$'{''.join(map(_escape_in_ansi_quotes, word))}'"  # of bash and zsh, so that it can be shown and copied


def _escape_in_ansi_quotes(character: str) -> str:
    if is_control(character):
        return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
    return f"\\{character}" if character in "\\'" else character
