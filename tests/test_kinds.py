"""What is solute: the same atoms in a run, in its settings and in the analysis."""

from __future__ import annotations

from itertools import pairwise

import mdtraj as md
import pytest
from openmm import app

from orbmm.analysis import find_large_molecules, find_solute
from orbmm.analysis.structure.bonds import NON_METALS as OF_ANALYSIS
from orbmm.simulation.guard.watches import NON_METALS as OF_GUARD
from orbmm.simulation.start.selection import select_atoms

WATERS = ["HOH", "WAT", "SOL", "TIP3", "TIP", "T3P", "SPC", "OPC", "DOD", "XXX"]
SALT = {"NA": "Na", "SOD": "Na", "NA+": "Na", "CL": "Cl", "CLA": "Cl", "K": "K", "POT": "K", "CS": "Cs", "IOD": "I"}
SOLUTE = {"ZN": "Zn", "CA": "Ca", "CAL": "Ca", "MG": "Mg", "FE2": "Fe"}
CARBON_DIOXIDE = {"C": "C", "O1": "O", "O2": "O"}
HYDROXIDE = {"O": "O", "H1": "H"}


def make_topology() -> app.Topology:
    """A glycine, waters, ions, a carbon dioxide and an ion OH-, each a chain."""
    topology = app.Topology()

    def add(name: str, atoms: dict[str, str]) -> None:
        residue = topology.addResidue(name, topology.addChain())
        made = [topology.addAtom(atom, app.Element.getBySymbol(symbol), residue) for atom, symbol in atoms.items()]
        for one, other in pairwise(made):
            topology.addBond(one, other)

    add("GLY", {"N": "N", "CA": "C", "C": "C", "O": "O", "HA2": "H"})
    for name in WATERS:
        add(name, {"O": "O", "H1": "H", "H2": "H"})
    for name, symbol in {**SALT, **SOLUTE}.items():
        add(name, {name: symbol})
    add("CO2", CARBON_DIOXIDE)
    add("OH", HYDROXIDE)
    return topology


def test_the_solute_of_a_run_is_that_of_its_analysis() -> None:
    topology = make_topology()
    analysed = md.Topology.from_openmm(topology)
    solute = find_solute(analysed)
    names = [topology.residue.name for topology in (analysed.atom(int(index)) for index in solute)]
    assert names == ["GLY"] * 5 + list(SOLUTE) + ["CO2"] * 3 + ["OH"] * 2
    assert select_atoms(topology, "solute").tolist() == solute.tolist()
    light = [index for index in solute if analysed.atom(int(index)).element.symbol == "H"]
    assert select_atoms(topology, "solute heavy").tolist() == [index for index in solute if index not in light]


def test_large_molecules_are_part_of_the_solute_without_what_diffuses() -> None:
    analysed = md.Topology.from_openmm(make_topology())
    assert set(find_large_molecules(analysed)) < set(find_solute(analysed))
    for _ in range(40):  # the glycine becomes a large molecule
        atom = analysed.atom(0)
        analysed.add_bond(atom, analysed.add_atom("CX", md.element.carbon, atom.residue))
    large = {analysed.atom(int(index)).residue.name for index in find_large_molecules(analysed)}
    assert large == {"GLY"}


@pytest.mark.parametrize("metal", ["Zn", "Na", "Fe", "Mg"])
def test_guard_and_analysis_watch_the_same_bonds(metal: str) -> None:
    assert OF_GUARD is OF_ANALYSIS
    assert metal not in OF_GUARD and {"H", "C", "N", "O", "S", "Se"} <= OF_GUARD
