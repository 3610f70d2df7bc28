"""Check elements against those a model was trained on, and charge and multiplicity against the number of electrons."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from openmm import app

from orbmm.errors import ModelError, PreparationError
from orbmm.preparation.residues import label_residue


@dataclass(frozen=True)
class KnownElements:
    """The name of a model and the atomic numbers that it was trained on."""

    model: str
    atomic_numbers: frozenset[int]


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
    """Raise ModelError where so many electrons cannot have that multiplicity; a model without charge input has neither.

    An even number of electrons leaves an even number unpaired, and 2S + 1 is one more than these.
    """
    if charge is None or multiplicity is None:
        return
    electrons = _count_electrons(topology, charge)
    if multiplicity - 1 > electrons:
        raise ModelError(
            f"[model] has charge {charge:+d} and multiplicity {multiplicity}, "
            f"but with that charge there are {electrons} "
            f"electrons, and {multiplicity - 1} cannot be unpaired: correct the one or the other"
        )
    lowest = find_lowest_multiplicity(topology, charge)
    if multiplicity % 2 != lowest % 2:
        parity = "odd" if lowest == 1 else "even"
        raise ModelError(
            f"[model] has charge {charge:+d} and multiplicity {multiplicity}, "
            f"but {electrons} electrons have an {parity} "
            f"multiplicity, at least {lowest}: correct the one or the other"
        )


def _count_electrons(topology: app.Topology, charge: int) -> int:
    return sum(atom.element.atomic_number for atom in topology.atoms() if atom.element is not None) - charge
