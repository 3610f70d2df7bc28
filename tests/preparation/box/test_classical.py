"""What the classical force field cannot relax is said in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
from openmm import app, unit

from orbmm.errors import PreparationError
from orbmm.preparation.box.classical import Held, relax_box
from orbmm.settings.preparation import PreparationSettings


def make_waters(distance_nm: float) -> app.Modeller:
    """Two waters in a box, so far apart."""
    topology = app.Topology()
    chain = topology.addChain()
    positions = []
    for shift in (0.0, distance_nm):
        residue = topology.addResidue("HOH", chain)
        oxygen, *hydrogens = (
            topology.addAtom(name, app.Element.getBySymbol(name[0]), residue) for name in ("O", "H1", "H2")
        )
        for hydrogen in hydrogens:
            topology.addBond(oxygen, hydrogen)
        positions += [[shift, 0.0, 0.0], [shift + 0.0957, 0.0, 0.0], [shift - 0.024, 0.0927, 0.0]]
    topology.setPeriodicBoxVectors(2.0 * np.eye(3) * unit.nanometer)
    return app.Modeller(topology, positions * unit.nanometer)


SETTINGS = PreparationSettings(equilibration_ps=0.0, minimization_steps=20)


def test_atoms_on_top_of_each_other_are_one_sentence() -> None:
    with pytest.raises(PreparationError, match="the classical minimisation failed.*: atoms overlap"):
        relax_box(make_waters(0.0), Held(), SETTINGS, seed=1)


def test_waters_apart_are_relaxed() -> None:
    assert relax_box(make_waters(0.5), Held(), SETTINGS, seed=1).energy_minimized_kj_per_mol < 0.0
