"""The classical force field of preparation: amber14 with TIP3P-FB water."""

from __future__ import annotations

from functools import cache

from openmm import NonbondedForce, app, unit

from orbmm.errors import PreparationError
from orbmm.preparation.residues import is_polymer, is_water, label_residue


@cache
def load_force_field() -> app.ForceField:
    """amber14 for protein and nucleic acid, TIP3P-FB for water and ions; read once."""
    return app.ForceField("amber14-all.xml", "amber14/tip3pfb.xml")


def refuse_unknown_residues(topology: app.Topology) -> None:
    """Raise PreparationError that names the heterogens and metals for which the force field has no parameters.

    Protein residues are not looked at: they match only once they have their hydrogens.
    """
    unmatched = load_force_field().getUnmatchedResidues(topology)
    unknown = [label_residue(residue) for residue in unmatched if not (is_polymer(residue) or is_water(residue))]
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise PreparationError(
            f"the classical force field amber14 does not know {', '.join(unknown[:5])}{more}: take them out of the "
            "structure file, or out of keep_heterogens"
        )


def sum_charge(topology: app.Topology) -> int:
    """Total charge of a topology with all its hydrogens [e]."""
    system = load_force_field().createSystem(topology)
    nonbonded = next(force for force in system.getForces() if isinstance(force, NonbondedForce))
    charges = (nonbonded.getParticleParameters(i)[0] for i in range(nonbonded.getNumParticles()))
    return round(sum(charge.value_in_unit(unit.elementary_charge) for charge in charges))
