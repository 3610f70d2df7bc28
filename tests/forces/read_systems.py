"""Run by test_serialization in a process of its own: read every System of a folder, before and after the import."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from openmm import Context, OpenMMException, Platform, System, VerletIntegrator, XmlSerializer

FOLDER = Path(sys.argv[1])


def compute(system: System) -> list:
    """Energy [kJ/mol] and forces [kJ/mol/nm] at the positions of positions.json."""
    context = Context(system, VerletIntegrator(0.001), Platform.getPlatformByName("Reference"))
    context.setPositions(json.loads((FOLDER / "positions.json").read_text()))
    state = context.getState(energy=True, forces=True)
    return [state.getPotentialEnergy()._value, [list(force) for force in state.getForces()._value]]


def read(path: Path) -> System:
    return XmlSerializer.deserialize(path.read_text())


paths = sorted(FOLDER.glob("*.xml"), reverse=True)  # TorchForce first: reading a PythonForce imports our modules
answers: dict[str, dict] = {path.stem: {} for path in paths}
for path in paths:
    try:
        answers[path.stem]["read_before_import"] = bool(read(path))
    except OpenMMException as error:
        answers[path.stem]["read_before_import"] = str(error)

import orbmm.forces.torch_force  # noqa: F401
from orbmm.forces.evaluator_cache import forget_evaluators

for path in paths:
    answers[path.stem]["computed"] = compute(read(path))

forget_evaluators()
os.environ["ORBMM_CACHE"] = str(FOLDER / "empty")
for path in paths:
    try:
        compute(read(path))
    except OpenMMException as error:
        answers[path.stem]["without_weights"] = str(error)
(FOLDER / "answers.json").write_text(json.dumps(answers))
