"""Whether a total charge and a spin multiplicity are possible for a number of electrons."""

from __future__ import annotations

from openmm import app

from orbmm.errors import ModelError


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
