"""The columns of a PDB file: what a line says, by the residue that settings would name."""

from __future__ import annotations

import math

_COORDINATES = ((30, 38), (38, 46), (46, 54))
_CELL = ((6, 15), (15, 24), (24, 33), (33, 40), (40, 47), (47, 54))
# Columns that must hold numbers, by record.
_NUMBERS = {
    "ATOM": _COORDINATES, "HETATM": _COORDINATES, "CRYST1": _CELL, "CONECT": ((6, 11),), "MODRES": ((18, 22),)
}  # fmt: skip


def is_atom(line: str) -> bool:
    """Return True for a line with the coordinates of an atom."""
    return line.startswith(("ATOM", "HETATM"))


def read_key(line: str, chain: int = 21, number: int = 22) -> str:
    """Return a residue such as "A:52B"; chain and number are the columns, counted from 0, where they begin."""
    insertion = line[number + 4 : number + 5].strip()
    return f"{line[chain : chain + 1].strip()}:{line[number : number + 4].strip()}{insertion}"


def find_unreadable_number(text: str) -> str | None:
    """Return the first line in which a column that must hold a number does not, and what it holds; None if all do."""
    for number, line in enumerate(text.splitlines(), start=1):
        for begin, end in _NUMBERS.get(line[:6].strip(), ()):
            if not is_number(line[begin:end]):
                return f"line {number}, columns {begin + 1}-{end} hold '{line[begin:end].strip()}' instead of a number"
    return None


def is_number(text: str) -> bool:
    """Return True for the text of a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
