"""The classical force field of preparation: amber14 with TIP3P-FB water, and the hydroxide that it lacks."""

from __future__ import annotations

import io
from functools import cache

from openmm import NonbondedForce, app, unit

from orbmm.errors import PreparationError
from orbmm.preparation.residues import is_polymer, is_water, label_residue

# A TIP3P-FB water that gave up a proton, whose charge stays with the oxygen. It serves only to relax a box in which a
# metal holds the hydroxide at its distance: published models of the free ion do not suit that place either.
_HYDROXIDE = """
<ForceField>
 <Residues>
  <Residue name="hydroxide">
   <Atom name="O" type="tip3p-fb-O" charge="-1.4242243450515"/>
   <Atom name="H1" type="tip3p-fb-H" charge="0.4242243450515"/>
   <Bond atomName1="O" atomName2="H1"/>
  </Residue>
 </Residues>
</ForceField>
"""


@cache
def load_force_field() -> app.ForceField:
    """amber14 for protein and nucleic acid, TIP3P-FB for water and ions, hydroxide made from it; read once."""
    force_field = app.ForceField("amber14-all.xml", "amber14/tip3pfb.xml")
    force_field.loadFile(io.StringIO(_HYDROXIDE))
    return force_field


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
