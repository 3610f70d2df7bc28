"""Refuse, by name, the elements that a model was not trained on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from openmm import app

from orbmm.errors import PreparationError
from orbmm.preparation.residues import label_residue


@dataclass(frozen=True)
class KnownElements:
    """What a model was trained on: its name and the atomic numbers."""

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
