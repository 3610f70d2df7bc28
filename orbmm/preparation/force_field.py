"""The classical force field of preparation: amber14 with TIP3P-FB water, and the hydroxide that it lacks."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from openmm import NonbondedForce, app, unit

from orbmm.errors import PreparationError
from orbmm.preparation.elements import find_charge, format_ion, is_ion, name_ion
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


@dataclass(frozen=True)
class RigidMolecule:
    """A molecule that amber14 lacks, and that does not move in preparation.

    residue: such as "AZM A:301", also the name of its template; parameters: the text of a force field of OpenMM
    """

    residue: str
    parameters: str


Molecules = tuple[RigidMolecule, ...]


@cache
def load_force_field(molecules: Molecules = ()) -> app.ForceField:
    """amber14 for protein and nucleic acid, TIP3P-FB for water and ions, hydroxide made from it; read once.

    molecules: what it knows besides
    """
    force_field = app.ForceField("amber14-all.xml", "amber14/tip3pfb.xml")
    for text in (_HYDROXIDE, *(molecule.parameters for molecule in molecules)):
        force_field.loadFile(io.StringIO(text))
    return force_field


def find_molecules(topology: app.Topology, molecules: Molecules) -> dict[str, app.topology.Residue]:
    """Return the residue of each molecule by its name, such as "AZM A:301"."""
    names = {molecule.residue for molecule in molecules}
    return {label_residue(residue): residue for residue in topology.residues() if label_residue(residue) in names}


def choose_templates(topology: app.Topology, molecules: Molecules = ()) -> dict[app.topology.Residue, str]:
    """Return the template of each molecule, and of each ion by the charge of its name.

    Elements and bonds alone would leave the choice open. Raises PreparationError that names an ion for which amber14
    has no parameters.
    """
    ions = {residue: _choose_template(residue).name for residue in topology.residues() if is_ion(residue)}
    return ions | {residue: name for name, residue in find_molecules(topology, molecules).items()}


def list_ion_charges(topology: app.Topology) -> dict[str, int]:
    """Return the charge that is taken for each ion [e], such as {"ZN A:262": 2}."""
    return {
        label_residue(residue): _read_template_charge(_choose_template(residue))
        for residue in topology.residues()
        if is_ion(residue)
    }


def _choose_template(residue: app.topology.Residue) -> app.ForceField._TemplateData:
    symbol = next(residue.atoms()).element.symbol
    templates = {_read_template_charge(template): template for template in _list_ions().get(symbol, ())}
    charge = find_charge(residue.name)
    if charge is None and len(templates) == 1:
        return next(iter(templates.values()))
    if charge in templates:
        return templates[charge]
    ion = symbol if charge is None else format_ion(symbol, charge)
    having = " and ".join(format_ion(symbol, other) for other in sorted(templates))
    named = [
        f"{name_ion(symbol, other) or symbol.upper()} for {format_ion(symbol, other)}" for other in sorted(templates)
    ]
    remedy = f"it has {having}: rename the residue ({' or '.join(named)}) if that is meant, or" if having else "you may"
    raise PreparationError(
        f"the classical force field amber14 does not know {label_residue(residue)} as {ion}; {remedy} take it out of "
        "the structure file"
    )


@cache
def _list_ions() -> dict[str, list[app.ForceField._TemplateData]]:
    """Templates of one atom by the symbol of their element."""
    ions = defaultdict(list)
    for template in load_force_field()._templates.values():
        if len(template.atoms) == 1 and template.atoms[0].element is not None:
            ions[template.atoms[0].element.symbol].append(template)
    return dict(ions)


def _read_template_charge(template: app.ForceField._TemplateData) -> int:
    return round(template.atoms[0].parameters["charge"])


def refuse_unknown_residues(topology: app.Topology, molecules: Molecules = ()) -> None:
    """Raise PreparationError that names the heterogens and metals for which the force field has no parameters.

    Protein residues are not looked at: they match only once they have their hydrogens.
    """
    templates = choose_templates(topology, molecules)
    unmatched = load_force_field(molecules).getUnmatchedResidues(topology, residueTemplates=templates)
    unknown = [label_residue(residue) for residue in unmatched if not (is_polymer(residue) or is_water(residue))]
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise PreparationError(
            f"the classical force field amber14 does not know {', '.join(unknown[:5])}{more}: take them out of the "
            "structure file or out of keep_heterogens, or name them under [[preparation.ligand]]"
        )


def sum_charge(topology: app.Topology, molecules: Molecules = ()) -> int:
    """Total charge of a topology with all its hydrogens [e]."""
    return round(sum(_list_charges(topology, molecules)))


def list_residue_charges(topology: app.Topology) -> list[int]:
    """Return the charge of each residue of a topology with all its hydrogens [e]."""
    charges = _list_charges(topology)
    return [round(sum(charges[atom.index] for atom in residue.atoms())) for residue in topology.residues()]


def _list_charges(topology: app.Topology, molecules: Molecules = ()) -> list[float]:
    """Return the partial charge of each atom in the force field [e]."""
    templates = choose_templates(topology, molecules)
    system = load_force_field(molecules).createSystem(topology, residueTemplates=templates)
    nonbonded = next(force for force in system.getForces() if isinstance(force, NonbondedForce))
    charges = (nonbonded.getParticleParameters(i)[0] for i in range(nonbonded.getNumParticles()))
    return [charge.value_in_unit(unit.elementary_charge) for charge in charges]
