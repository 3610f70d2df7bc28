"""Check elements, charge and multiplicity against a model, and find the charge of an ion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from openmm import app

from orbmm.errors import ModelError, PreparationError, StructureError
from orbmm.preparation.residues import is_polymer, is_water, label_residue


@dataclass(frozen=True)
class KnownElements:
    """The name of a model and the atomic numbers that it was trained on."""

    model: str
    atomic_numbers: frozenset[int]


def read_elements(atoms: Iterable[app.topology.Atom]) -> tuple[int, ...]:
    """Return the atomic numbers of atoms. Raises StructureError for one without an element, such as a virtual site."""
    listed = list(atoms)
    without = [atom for atom in listed if atom.element is None]
    if without:
        raise StructureError(f"atom {without[0].index} ({without[0].name}) has no element: a network needs real atoms")
    return tuple(atom.element.atomic_number for atom in listed)


def refuse_unknown_elements(topology: app.Topology, known: KnownElements | None) -> None:
    """Raise PreparationError that names each element the model does not know, and where it is."""
    if known is None:
        return
    holders: dict[str, set[str]] = defaultdict(set)
    for atom in topology.atoms():
        if atom.element is None:
            raise PreparationError(f"atom {atom.name} of {label_residue(atom.residue)} has no element")
        if atom.element.atomic_number not in known.atomic_numbers:
            holders[atom.element.symbol].add(atom.residue.name)
    if holders:
        found = " and ".join(f"{symbol} (in {', '.join(sorted(names))})" for symbol, names in holders.items())
        raise PreparationError(f"{known.model} was not trained on {found}: take another model, see `orbmm models`")


def refuse_unknown_ions(charge: int, salt_molar: float, neutralize: bool, known: KnownElements | None) -> None:
    """Raise PreparationError where settings ask for sodium or chloride that the model does not know."""
    needed = salt_molar > 0 or (neutralize and charge != 0)
    if known is None or not needed or {11, 17} <= known.atomic_numbers:
        return
    if salt_molar > 0:
        raise PreparationError(f"{known.model} was not trained on Na and Cl: leave the salt out (salt_molar = 0)")
    remedy = "below 4.4 ASP and GLU are neutral" if charge < 0 else "above 10 LYS is neutral"
    raise PreparationError(
        f"the solute has charge {charge:+d} and {known.model} was not trained on the ions that would neutralise it: "
        f"choose a pH at which it is neutral ({remedy}), a model that knows ions, or a charged box (--no-neutralize)"
    )


def find_lowest_multiplicity(topology: app.Topology, charge: int) -> int:
    """Multiplicity of no unpaired electron, or of the one that an odd number of electrons leaves."""
    return 1 + _count_electrons(topology, charge) % 2


def refuse_impossible_multiplicity(topology: app.Topology, charge: int | None, multiplicity: int | None) -> None:
    """Raise ModelError where so many electrons cannot have that multiplicity (0: not known).

    A model without charge input has neither. An even number of electrons leaves an even number unpaired, and 2S + 1 is
    one more than these.
    """
    if charge is None or not multiplicity:
        return
    electrons = _count_electrons(topology, charge)
    if multiplicity - 1 > electrons:
        raise ModelError(
            f"got charge {charge:+d} and multiplicity {multiplicity}, "
            f"but with that charge there are {electrons} "
            f"electrons, and {multiplicity - 1} cannot be unpaired: correct the one or the other"
        )
    lowest = find_lowest_multiplicity(topology, charge)
    if multiplicity % 2 != lowest % 2:
        parity = "odd" if lowest == 1 else "even"
        raise ModelError(
            f"got charge {charge:+d} and multiplicity {multiplicity}, "
            f"but {electrons} electrons have an {parity} "
            f"multiplicity, at least {lowest}: correct the one or the other"
        )


def _count_electrons(topology: app.Topology, charge: int) -> int:
    return sum(atom.element.atomic_number for atom in topology.atoms() if atom.element is not None) - charge


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
    """Return True for a residue of one atom that is neither water nor part of a polymer."""
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
