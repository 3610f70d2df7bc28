"""The request to one measuring process and its answer: plain JSON."""

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
    """One structure, one model, one process.

    atoms: file of `Atoms.save`; weights: a weights file, "" for the catalogue's own, "random" for random numbers
    force: a force kind of OpenMM, or "" for no OpenMM at all; evaluations, steps: how many are timed, 0 evaluations for
        forces alone; execution: how the network is computed
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
        """Write it for the process that reads it."""
        path.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")


def read_job(path: Path) -> Job:
    """Read the job that Job.write wrote."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return Job(**{**entries, "execution": Execution(**entries["execution"])})


Answer = dict[str, Any]
"""Numbers by name, or {"skipped": reason}."""
