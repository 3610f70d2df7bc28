"""Read the XML of an OpenMM State without OpenMM.

OpenMM's deserialiser creates any object that a file names in the tag or in the attribute `type` of its root. This can
be a System, and the PythonForce of a System is unpickled, which runs code. So orbmm gives no file of a user or of a run
folder to it and reads the numbers itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from orbmm.errors import StructureError
from orbmm.files import read_file

LARGEST_BYTES = 2**30  # some five million atoms
DEEPEST = 16
_ROWS = {
    "Positions": ("Position",),
    "Velocities": ("Velocity",),
    "PeriodicBoxVectors": ("A", "B", "C"),
}


@dataclass(frozen=True)
class SavedState:
    """The part of a State that a simulation can start from. Values that the file does not hold are None or empty.

    positions: (N, 3) [nm]; velocities: (N, 3) [nm/ps]; box: (3, 3), rows are vectors [nm]
    parameters: global parameters of the Context
    """

    step: int
    time_ps: float
    positions: NDArray[np.float64] | None
    velocities: NDArray[np.float64] | None
    box: NDArray[np.float64] | None
    parameters: Mapping[str, float]


def read_state(path: Path) -> SavedState:
    """Read a State that OpenMM's XmlSerializer wrote.

    Raises StructureError for anything else: another object, an entity, deep nesting, or a number that is not finite;
    UnsafeFile for a file of more than 1 GiB or one that is not a regular file; OSError as `open` does.
    """
    content = read_file(path, LARGEST_BYTES)
    reader = _StateReader()
    parser = ElementTree.XMLParser(target=reader)
    try:
        parser.feed(content)
        parser.close()
        return reader.collect()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise StructureError(
            f"{path} is not the XML of an OpenMM State ({error}); give a file that simulation.saveState wrote"
        ) from error


class _StateReader:
    """Collector of the rows of a State. The XML parser calls its methods and defines their names."""

    def __init__(self) -> None:
        self._depth = 0
        self._section = ""
        self._root: dict[str, str] = {}
        self._rows: dict[str, list[list[float]]] = {}
        self._parameters: dict[str, float] = {}

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which could define entities")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"its elements are nested deeper than {DEEPEST}")
        if self._depth == 1:
            self._open_root(tag, attributes)
        elif self._depth == 2:
            self._open_section(tag, attributes)
        elif self._depth == 3 and tag in _ROWS.get(self._section, ()):
            self._rows[self._section].append([_read_number(attributes, axis) for axis in "xyz"])

    def end(self, tag: str) -> None:
        self._depth -= 1

    def collect(self) -> SavedState:
        """Return the state that was read, after the parser has reached the end of the file."""
        box = self._take("PeriodicBoxVectors")
        if box is not None and box.shape != (3, 3):
            raise ValueError(f"its box has {len(box)} vectors, expected 3")
        return SavedState(
            step=int(self._root.get("stepCount", "0")),
            time_ps=_read_number({"time": "0", **self._root}, "time"),
            positions=self._take("Positions"),
            velocities=self._take("Velocities"),
            box=box,
            parameters=self._parameters,
        )

    def _open_root(self, tag: str, attributes: dict[str, str]) -> None:
        kind = attributes.get("type", "State")
        if tag != "State" or kind != "State":
            raise ValueError(f"its root is <{tag[:40]}> of type {kind[:40]}, expected <State>")
        self._root = attributes

    def _open_section(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in self._rows:
            raise ValueError(f"it holds {tag} twice")
        self._section = tag
        if tag in _ROWS:
            self._rows[tag] = []
        elif tag == "Parameters":
            self._parameters |= {name: _read_number(attributes, name) for name in attributes}

    def _take(self, section: str) -> NDArray[np.float64] | None:
        rows = self._rows.get(section)
        return np.array(rows, dtype=np.float64) if rows else None


def _read_number(attributes: Mapping[str, str], name: str) -> float:
    if name not in attributes:
        raise ValueError(f"the attribute {name} is missing")
    number = float(attributes[name])
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}, not a finite number")
    return number
