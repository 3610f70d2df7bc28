"""Charge and multiplicity must fit the number of electrons."""

from __future__ import annotations

import pytest
from openmm import app

from orbmm.errors import ModelError
from orbmm.preparation.elements import find_lowest_multiplicity, refuse_impossible_multiplicity


@pytest.fixture(scope="module")
def water() -> app.Topology:
    topology = app.Topology()
    residue = topology.addResidue("HOH", topology.addChain())
    for name, element in (("O", app.element.oxygen), ("H1", app.element.hydrogen), ("H2", app.element.hydrogen)):
        topology.addAtom(name, element, residue)
    return topology


@pytest.mark.parametrize(("charge", "lowest"), [(0, 1), (1, 2), (-1, 2), (2, 1)])
def test_the_lowest_multiplicity_pairs_all_electrons_but_the_odd_one(
    charge: int, lowest: int, water: app.Topology
) -> None:
    assert find_lowest_multiplicity(water, charge) == lowest
    refuse_impossible_multiplicity(water, charge, lowest)
    refuse_impossible_multiplicity(water, charge, lowest + 2)
    with pytest.raises(ModelError, match=f"{10 - charge} electrons have an (odd|even) multiplicity, at least {lowest}"):
        refuse_impossible_multiplicity(water, charge, lowest + 1)


@pytest.mark.parametrize(("charge", "multiplicity"), [(0, 13), (10, 3), (20, 1)])
def test_no_more_electrons_can_be_unpaired_than_there_are(charge: int, multiplicity: int, water: app.Topology) -> None:
    words = f"there are {10 - charge} electrons, and {multiplicity - 1} cannot be unpaired"
    with pytest.raises(ModelError, match=words):
        refuse_impossible_multiplicity(water, charge, multiplicity)
    refuse_impossible_multiplicity(water, 0, 11)


def test_models_without_charge_are_not_asked(water: app.Topology) -> None:
    refuse_impossible_multiplicity(water, None, None)
    refuse_impossible_multiplicity(water, 1, 0)  # not known
