"""Charges of ions of one atom: by the name of the residue, and by the charge that a file gives."""

from __future__ import annotations

from openmm import app

from orbmm.preparation.residues import is_polymer, is_water

# Components of the Protein Data Bank that are one ion; the charge is their definition there.
_COMPONENTS = {
    **dict.fromkeys(("LI", "NA", "K", "RB", "CS", "TL", "AG", "AU", "CU1"), 1),
    **dict.fromkeys(("BE", "MG", "CA", "SR", "BA", "MN", "FE2", "CO", "NI", "CU", "ZN", "CD", "HG", "PB", "PT"), 2),
    **dict.fromkeys(("PD", "EU", "YB2", "V2", "CR2", "SM2", "SN2", "RA"), 2),
    **dict.fromkeys(("AL", "GA", "IN", "CR", "MN3", "FE", "3CO", "3NI", "CU3", "YT3", "Y", "LA", "CE", "PR", "SM"), 3),
    **dict.fromkeys(("EU3", "GD", "GD3", "TB", "DY", "HO", "HO3", "ER3", "TM", "YB", "LU", "RH3", "IR3", "AU3"), 3),
    **dict.fromkeys(("RU", "OS", "SB", "BS3", "V", "AM"), 3),
    **dict.fromkeys(("PT4", "IR", "4TI", "ZR", "HF", "TH", "PU", "U4+", "OS4", "4MO", "CE4"), 4),
    **dict.fromkeys(("CL", "BR", "IOD", "F"), -1),
    "6MO": 6,
}  # fmt: skip
# The same ions in CHARMM, AMBER and GROMACS.
_FORCE_FIELD_NAMES = {
    **dict.fromkeys(("LIT", "SOD", "POT", "RUB", "CES", "NA+", "K+", "LI+", "RB+", "CS+"), 1),
    **dict.fromkeys(("CAL", "BAR", "CAD", "ZN2", "MG2", "CA2", "MN2", "CO2+", "NI2", "CU2", "CD2", "HG2"), 2),
    **dict.fromkeys(("CLA", "CL-", "BR-", "F-", "I-"), -1),
    "FE3": 3,
}
# The name to which a residue changes where the file states another charge than its name.
_NAMES = {("FE", 2): "FE2", ("FE", 3): "FE", ("CU", 1): "CU1", ("CU", 2): "CU", ("MN", 2): "MN", ("MN", 3): "MN3",
          ("CO", 2): "CO", ("CO", 3): "3CO", ("NI", 3): "3NI", ("EU", 2): "EU", ("EU", 3): "EU3", ("YB", 2): "YB2",
          ("YB", 3): "YB", ("SM", 2): "SM2", ("SM", 3): "SM", ("CR", 2): "CR2", ("CR", 3): "CR", ("CE", 3): "CE",
          ("CE", 4): "CE4", ("PT", 2): "PT", ("PT", 4): "PT4", ("AU", 1): "AU", ("AU", 3): "AU3"}  # fmt: skip


def is_ion(residue: app.topology.Residue) -> bool:
    """Return whether the residue is one atom that is neither water nor part of a polymer."""
    atoms = list(residue.atoms())
    return len(atoms) == 1 and atoms[0].element is not None and not (is_water(residue) or is_polymer(residue))


def find_charge(name: str) -> int | None:
    """Return the charge that the name of an ion states [e], None for a name that is not known."""
    return _COMPONENTS.get(name.upper(), _FORCE_FIELD_NAMES.get(name.upper()))


def name_ion(symbol: str, charge: int) -> str | None:
    """Return the name of the component that is this ion, such as "FE2"; None where there is none."""
    name = _NAMES.get((symbol.upper(), charge))
    return name or (symbol.upper() if _COMPONENTS.get(symbol.upper()) == charge else None)


def format_ion(symbol: str, charge: int) -> str:
    """Return the ion as chemists write it, such as "Fe3+"."""
    size = "" if abs(charge) == 1 else str(abs(charge))
    return f"{symbol}{size}{'+' if charge > 0 else '-'}"
