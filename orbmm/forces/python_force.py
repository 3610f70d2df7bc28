"""Create the PythonForce of OpenMM (8.5 and newer), which calls the evaluator through NumPy."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy
import openmm
import torch
from openmm import unit

from orbmm.errors import ForceError
from orbmm.forces.description import Description
from orbmm.forces.evaluator import Evaluator
from orbmm.forces.evaluator_cache import find_evaluator
from orbmm.forces.versions import advise_on_worker_thread, read_versions

_CPU = torch.device("cpu")
_BAROSTATS = ("MonteCarloPressure", "MembraneMonteCarloPressure")  # how a parameter of each barostat begins


@dataclass(frozen=True)
class PythonForceComputation:
    """The function that OpenMM calls at every step and pickles into the XML of a System; it holds only the description.

    The text is first read when a Context requests forces, because OpenMM crashes on an error while it unpickles.
    """

    description: str

    def __call__(self, state: openmm.State) -> tuple[float, numpy.ndarray]:
        """Return energy [kJ/mol] and forces (N, 3) [kJ/mol/nm] of a State."""
        evaluator = find_evaluator(self.description, _CPU)
        if evaluator.device.type == "cuda":
            refuse_worker_thread()
        if isinstance(evaluator, Evaluator) and evaluator.copies > 1:
            refuse_barostat(state)
        positions_nm = torch.from_numpy(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))  # (N, 3)
        box_nm = None
        if evaluator.periodic:
            vectors = state.getPeriodicBoxVectors(asNumpy=True)
            box_nm = torch.from_numpy(vectors.value_in_unit(unit.nanometer))  # (3, 3)
        energy, forces = evaluator.evaluate(positions_nm, box_nm)
        return energy.item(), forces.numpy()


def create_python_force(description: Description) -> openmm.Force:
    """Create a PythonForce from a description; serialised, it holds the description and no network."""
    force = openmm.PythonForce(PythonForceComputation(description.to_json()))
    force.setUsesPeriodicBoundaryConditions(description.periodic)
    return force


def refuse_worker_thread() -> None:
    """Raise ForceError on a thread that Python did not start.

    On its GPU platforms OpenMM <= 8.5.2 calls a PythonForce on a worker thread, where PyTorch on the same GPU gave NaN
    coordinates (changed in OpenMM pull request 5412). With several devices in DeviceIndex every OpenMM does so. A force
    cannot read its platform, but it can check its thread.
    """
    if isinstance(threading.current_thread(), threading._DummyThread):
        raise ForceError(
            "OpenMM called the PythonForce on a worker thread, where PyTorch on the same GPU gave NaN coordinates: "
            + advise_on_worker_thread(read_versions())
        )


def refuse_barostat(state: openmm.State) -> None:
    """Raise ForceError if the parameters of a State are those of a barostat, which would take all copies for one."""
    found = sorted(name for name in state.getParameters() if name.startswith(_BAROSTATS))
    if found:
        raise ForceError(
            f"a barostat (parameter {found[0]}) acts on all copies as if they were one system in one box: remove it; "
            "for constant pressure run a System for each replica (orbmm ensemble)"
        )
