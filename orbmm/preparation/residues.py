"""Name residues in settings and reports, and tell water, metals and polymers apart."""

from __future__ import annotations

from openmm import app
from pdbfixer.pdbfixer import dnaResidues, proteinResidues, rnaResidues

from orbmm.errors import PreparationError, name_nearest
from orbmm.plain_text import is_control

WATER_NAMES = frozenset({"HOH", "DOD", "WAT", "H2O"})
UNIDENTIFIED_NAMES = frozenset({"UNX", "UNL", "UNK"})  # atom or ion, ligand, residue: density of unknown origin
CAP_NAMES = frozenset({"ACE", "NME", "NH2"})
POLYMER_NAMES = frozenset(proteinResidues) | frozenset(dnaResidues) | frozenset(rnaResidues) | CAP_NAMES | {"N"}
NONMETALS = frozenset({1, 2, *range(5, 11), *range(14, 19), *range(32, 37), *range(52, 55), 85, 86})  # atomic numbers


def key_residue(residue: app.topology.Residue) -> str:
    """The name of a residue in settings, "A:119" or with an insertion code "A:52B"."""
    return f"{residue.chain.id.strip()}:{residue.id.strip()}{residue.insertionCode.strip()}"


def label_residue(residue: app.topology.Residue) -> str:
    """The name of a residue in reports, "HIS A:119"."""
    return f"{residue.name} {key_residue(residue)}"


def find_residue(topology: app.Topology, key: str, setting: str) -> app.topology.Residue:
    """The first residue of that name; PreparationError if there is none.

    setting: where the name stands, for the error
    """
    for residue in topology.residues():
        if key_residue(residue) == key:
            return residue
    known = [key_residue(residue) for residue in topology.residues() if residue.name in POLYMER_NAMES]
    raise PreparationError(f"{setting} names residue '{key}', which the structure does not have; {_offer(key, known)}")


def _offer(key: str, known: list[str]) -> str:
    if not known:
        return "it has no protein or nucleic acid residues"
    chains = sorted({name.split(":")[0] for name in known})
    nearest = name_nearest(key, known)
    return nearest if nearest.startswith("did") else f"write chain:number, the chains are {', '.join(chains)}"


def is_water(residue: app.topology.Residue) -> bool:
    """Return True for water, heavy water included."""
    return residue.name in WATER_NAMES


def is_metal(residue: app.topology.Residue) -> bool:
    """Return True for a residue of one metal atom. OpenMM takes an unidentified one (UNK) for uranium."""
    if residue.name in UNIDENTIFIED_NAMES:
        return False
    atoms = list(residue.atoms())
    return len(atoms) == 1 and atoms[0].element is not None and atoms[0].element.atomic_number not in NONMETALS


def is_polymer(residue: app.topology.Residue) -> bool:
    """Return True for a residue of a protein or nucleic acid chain."""
    return residue.name in POLYMER_NAMES


def find_unwritable_name(topology: app.Topology) -> str | None:
    """Return the first name or number in a topology with a control character; None where there is none.

    A line end in it, which mmCIF can hold, would end a line of each PDB file that is written.
    """
    for residue in topology.residues():
        names = (
            residue.chain.id,
            residue.name,
            residue.id,
            residue.insertionCode,
            *(atom.name for atom in residue.atoms()),
        )
        for name in names:
            if any(is_control(character) for character in name):
                return name
    return None
