"""Words choose atoms: a few names of ours, and mdtraj's language."""

from __future__ import annotations

import pytest
from openmm import app

from orbmm.errors import RunError
from orbmm.simulation.start.selection import find_atom, select_atoms


@pytest.fixture
def topology() -> app.Topology:
    """A glycine, a zinc, a water and a sodium."""
    topology = app.Topology()
    for chain, residue, atoms in (
        ("A", "GLY", {"N": "N", "CA": "C", "HA2": "H", "C": "C", "O": "O"}),
        ("A", "ZN", {"ZN": "Zn"}),
        ("B", "HOH", {"O": "O", "H1": "H", "H2": "H"}),
        ("B", "NA", {"NA": "Na"}),
    ):
        chains = {one.id: one for one in topology.chains()}
        where = chains.get(chain) or topology.addChain(chain)
        group = topology.addResidue(residue, where, str(topology.getNumResidues() + 1))
        for name, symbol in atoms.items():
            topology.addAtom(name, app.Element.getBySymbol(symbol), group)
    return topology


@pytest.mark.parametrize(
    "words, expected",
    [
        ("all", list(range(10))),
        ("solute", [0, 1, 2, 3, 4, 5]),
        ("solute heavy", [0, 1, 3, 4, 5]),
        ("not water", [0, 1, 2, 3, 4, 5, 9]),
        ("backbone", [0, 1, 3, 4]),
        ("water and name O", [6]),
    ],
)
def test_words_choose_atoms(words: str, expected: list[int], topology: app.Topology) -> None:
    assert select_atoms(topology, words).tolist() == expected


def test_an_atom_is_found_by_its_full_name(topology: app.Topology) -> None:
    assert find_atom(topology, "A:2:ZN") == 5
    assert find_atom(topology, "B:3:O") == 6


@pytest.mark.parametrize("words", ["junk", "name =~ '('", "not " * 2000 + "water", "resid 007", "name '\\x'", "("])
def test_words_that_are_no_selection_are_refused_in_one_sentence(words: str, topology: app.Topology) -> None:
    with pytest.raises(RunError, match="cannot be read"):
        select_atoms(topology, words)
