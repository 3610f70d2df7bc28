"""Damage of a structure file that readers pass over without a word: atoms are lost, or a number is cut."""

from __future__ import annotations

import re
from typing import Literal

_RECORDS = ("ATOM  ", "HETATM")
_SEEMS_ATOM = re.compile(r"\s*(?:ATOM|HETATM)(?![A-Z])", re.IGNORECASE)
_LAST_COLUMN = 54  # of the coordinates


def find_damage(text: str, kind: Literal["pdb", "cif"]) -> str | None:
    """Return the first damage of a PDB or mmCIF file that readers do not see; None where there is none."""
    return find_damaged_atom(text) if kind == "pdb" else _find_open_text(text)


def find_damaged_atom(text: str) -> str | None:
    """Return what is wrong with the first atom that readers would leave out or read in part; None if there is none.

    They skip lines that do not begin with ATOM or HETATM in columns 1-6, and take a cut coordinate for a whole one.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if not _SEEMS_ATOM.match(line):
            continue
        if line[:6] not in _RECORDS:
            return f"line {number} begins with {line[:6]!r}, but an atom with 'ATOM  ' or 'HETATM' in columns 1-6"
        if len(line) < _LAST_COLUMN:
            return f"line {number} ends in column {len(line)}, before the coordinates of its atom end ({_LAST_COLUMN})"
    return None


def _find_open_text(text: str) -> str | None:
    """Return where a text of several lines begins that does not end: readers take the rest of the file for it."""
    begin = None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(";"):
            begin = number if begin is None else None
    return None if begin is None else f"the text that begins with ';' in line {begin} does not end"
