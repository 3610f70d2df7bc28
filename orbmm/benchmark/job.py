"""The request to a measuring process and its answer, in plain JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orbmm.model.inference.execution import Execution

PROFILED_STEPS = 10  # at most, after those that are timed: about as many as lie between two searches of neighbours


@dataclass(frozen=True)
class Job:
    """The request to measure one structure with one model, in one process.

    atoms: file of `Atoms.save`; weights: a weights file, "" for that of the catalogue, "random" for random numbers
    force: a force kind of OpenMM, or "" to measure without OpenMM; evaluations, steps: the numbers of timed calls,
        0 evaluations to compute forces only; execution: how the network is computed
    """

    atoms: str
    model: str
    weights: str
    precision: str
    device: str
    threads: int
    evaluations: int
    steps: int
    force: str
    execution: Execution = field(default_factory=Execution)

    def write(self, path: Path) -> None:
        """Write the request for the process that reads it."""
        path.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")


def read_job(path: Path) -> Job:
    """Read the request that Job.write wrote."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return Job(**{**entries, "execution": Execution(**entries["execution"])})


Answer = dict[str, Any]
"""Measured numbers by name, or {"skipped": reason}."""
