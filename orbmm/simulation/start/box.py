"""Check the box of a structure file before OpenMM reads it: refuse impossible ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from orbmm.errors import StructureError

_CRYST1_COLUMNS = ((6, 15), (15, 24), (24, 33), (33, 40), (40, 47), (47, 54))
_CELL_ENTRIES = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


def refuse_impossible_box(path: Path) -> None:
    """Raise StructureError for an impossible box in a PDB or mmCIF file, before OpenMM reads it.

    OpenMM ignores a box with one length of 0 without a warning, and raises mathematical errors for others.
    """
    pdb = path.suffix.lower() in (".pdb", ".ent")
    with path.open(encoding="utf-8", errors="replace") as stream:
        for place, words in _list_cryst1(stream) if pdb else _list_cell(stream):
            if not (_is_possible(words) or (pdb and _is_absent(words))):
                raise StructureError(
                    f"{path}: {place} gives no possible box: {' '.join(words)}; expected three lengths above 0 Å and "
                    f"three angles that close a cell{', or lengths of 0 for no box at all' if pdb else ''}"
                )


def _list_cryst1(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the line and the six words of each box in the part of a PDB file that OpenMM reads."""
    for number, line in enumerate(lines, start=1):
        if line.startswith("END"):
            return
        if line.startswith("CRYST1"):
            yield f"CRYST1 in line {number}", [line[first:last].strip() for first, last in _CRYST1_COLUMNS]


def _list_cell(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the line and the six words of the box of an mmCIF file that has each on a separate line."""
    found: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) == 2 and words[0].startswith("_cell."):
            found.setdefault(words[0].removeprefix("_cell."), (number, words[1].strip("'\"")))
    if all(entry in found for entry in _CELL_ENTRIES):
        yield f"_cell in line {found['length_a'][0]}", [found[entry][1] for entry in _CELL_ENTRIES]


def _is_absent(words: list[str]) -> bool:
    numbers = _read_numbers(words)
    return numbers is not None and not numbers[:3].any()


def _is_possible(words: list[str]) -> bool:
    """Return whether three lengths [Å] and three angles [degrees] give a cell with a volume above 0."""
    numbers = _read_numbers(words)
    if numbers is None or not np.isfinite(numbers).all() or (numbers <= 0.0).any() or (numbers[3:] >= 180.0).any():
        return False
    cosines = np.cos(np.radians(numbers[3:]))
    return bool(1.0 - (cosines**2).sum() + 2.0 * cosines.prod() > 0.0)  # squared volume of a cell of unit lengths


def _read_numbers(words: list[str]) -> np.ndarray | None:
    try:
        return np.array([float(word) for word in words])
    except ValueError:
        return None
