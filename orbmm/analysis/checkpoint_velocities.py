"""Velocities of a run, which only its checkpoints hold: read from OpenMM's portable state files, without OpenMM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from orbmm.errors import AnalysisError

STATE_FILE = "state.xml"


@dataclass(frozen=True)
class Snapshot:
    """velocities: (N, 3) [nm/ps] at time_ps [ps]."""

    step: int
    time_ps: float
    velocities: NDArray[np.float64]


def read_snapshots(checkpoints: Path) -> Iterator[Snapshot]:
    """The checkpoints of a run, the earliest first. Raises AnalysisError for a damaged one."""
    for path in sorted(checkpoints.glob(f"step-*/{STATE_FILE}")):
        try:
            yield _read_snapshot(path)
        except FileNotFoundError:
            continue  # a run that goes on removes its oldest checkpoint
        except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
            raise AnalysisError(f"{path}: cannot be read as a state of OpenMM ({error}); resume the run") from error


def _read_snapshot(path: Path) -> Snapshot:
    rows, root, inside = [], None, False
    for event, element in ElementTree.iterparse(path, events=("start", "end")):
        root = element if root is None else root
        inside = (event == "start") if element.tag == "Velocities" else inside
        if event == "end" and inside and element.tag == "Velocity":
            rows.append([float(element.attrib[axis]) for axis in "xyz"])
        if event == "end" and element is not root:
            element.clear()
    if root is None or not rows:
        raise ValueError("no velocities")
    return Snapshot(int(root.attrib["stepCount"]), float(root.attrib["time"]), np.array(rows))
