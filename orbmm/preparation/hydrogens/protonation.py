"""Hydrogens by pH, by metals and by wish, placed repeatably."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from openmm import Platform, app

from orbmm.errors import PreparationError, name_nearest, quote_reason
from orbmm.preparation.force_field import Molecules, choose_templates, load_force_field, refuse_unknown_residues
from orbmm.preparation.hydrogens.metal_sites import (
    choose_binding_variants,
    find_bound_waters,
    find_metal_sites,
    remove_protons,
)
from orbmm.preparation.hydrogens.misplaced import correct_hydrogens
from orbmm.preparation.library_calls import LIBRARY_ERRORS, seeded_random
from orbmm.preparation.reading.residue_names import StatedForm
from orbmm.preparation.residues import find_residue, is_water, key_residue, label_residue

VARIANTS = {
    "ASP": ("ASP", "ASH"),
    "CYS": ("CYS", "CYM", "CYX"),
    "GLU": ("GLU", "GLH"),
    "HIS": ("HID", "HIE", "HIP"),
    "LYS": ("LYS", "LYN"),
    "HOH": ("HOH", "OH"),
}
# The hydrogens that tell the forms apart, and the form that has exactly these.
_FORMS = {
    "ASP": ({"HD2"}, {"HD2": "ASH", "": "ASP"}),
    "CYS": ({"HG"}, {"HG": "CYS", "": "CYM"}),  # CYX where another residue is bonded to SG
    "GLU": ({"HE2"}, {"HE2": "GLH", "": "GLU"}),
    "HIS": ({"HD1", "HE2"}, {"HD1": "HID", "HE2": "HIE", "HD1 HE2": "HIP", "": "HIN"}),
    "LYS": ({"HZ3"}, {"HZ3": "LYS", "": "LYN"}),
    "HOH": ({"H2"}, {"H2": "HOH", "": "OH"}),
}


@dataclass(frozen=True)
class Protonation:
    """The form of one titratable residue.

    residue: such as "HIS A:119", form: such as "HIE", reason: why this form
    """

    residue: str
    form: str
    reason: str


def protonate(
    modeller: app.Modeller,
    ph: float,
    wanted: Mapping[str, str],
    stated: Mapping[str, StatedForm],
    seed: int,
    molecules: Molecules = (),
) -> tuple[Protonation, ...]:
    """Add all hydrogens to the modeller: what is asked for overrules metals, they the names in the file, and these pH.

    wanted: form by residue, {"A:64": "HIP"}
    stated: what the names of residues in the file say, by residue
    molecules: ligands, which have their hydrogens already
    Raises PreparationError: unknown residue or form, or a residue that the force field does not know.
    """
    sites = find_metal_sites(modeller.topology, modeller.positions)
    bound = find_bound_waters(modeller.topology, sites)
    wishes = _read_wishes(modeller.topology, wanted)
    _refuse_free_hydroxides(modeller.topology, wishes, bound)
    named = _read_names(modeller.topology, stated)
    dictated = named | choose_binding_variants(modeller.topology, sites) | bound | wishes
    refuse_unknown_residues(modeller.topology, molecules)
    with seeded_random(seed):
        _place(modeller, ph, dictated, molecules)
    correct_hydrogens(modeller)
    remove_protons(modeller, {index for index, (form, _) in wishes.items() if form == "OH"})
    reasons = {index: reason for index, (_, reason) in dictated.items()}
    return tuple(
        _describe(residue, reasons.get(residue.index) or _by_rule(residue, ph), stated)
        for residue in modeller.topology.residues()
        if residue.name in VARIANTS and (not is_water(residue) or residue.index in reasons)
    )


def _read_names(topology: app.Topology, stated: Mapping[str, StatedForm]) -> dict[int, tuple[str, str]]:
    """The forms that names in the file state, by residue index; of a cysteine in a bond the bond decides."""
    bonded = {
        atom.residue.index
        for bond in topology.bonds()
        for atom in bond
        if atom.name == "SG" and bond.atom1.residue is not bond.atom2.residue
    }
    named = {}
    for residue in topology.residues():
        statement = stated.get(key_residue(residue))
        if statement is None or residue.index in bonded or statement.form == "CYX":
            continue
        if statement.form in VARIANTS.get(residue.name, ()):
            named[residue.index] = (statement.form, f"named {statement.name} in the file")
    return named


def _describe(residue: app.topology.Residue, reason: str, stated: Mapping[str, StatedForm]) -> Protonation:
    """The form of a residue and why, also where this is not what the file names."""
    form = _read_form(residue)
    statement = stated.get(key_residue(residue))
    if statement is not None and statement.form != form and not reason.startswith("named"):
        reason = f"{reason}; the file names it {statement.name}"
    return Protonation(label_residue(residue), form, reason)


def _place(modeller: app.Modeller, ph: float, dictated: Mapping[int, tuple[str, str]], molecules: Molecules) -> None:
    """Hydrogens in the forms that are dictated by residue index; waters get both of theirs."""
    variants: list = [
        None if is_water(residue) else dictated.get(residue.index, (None, ""))[0]
        for residue in modeller.topology.residues()
    ]
    variants = ["CYX" if form == "CYM" else form for form in variants]  # OpenMM knows one form without HG
    for residue in _find_ring_starts(modeller.topology):
        variants[residue.index] = _list_hydrogens_of_middle(residue, variants[residue.index], ph)
    platform = Platform.getPlatform("Reference")  # repeats bitwise
    templates = choose_templates(modeller.topology, molecules)
    try:
        modeller.addHydrogens(
            load_force_field(molecules), pH=ph, variants=variants, platform=platform, residueTemplates=templates
        )
    except LIBRARY_ERRORS as error:
        raise PreparationError(_explain_refusal(modeller.topology, error)) from error


def _find_ring_starts(topology: app.Topology) -> list[app.topology.Residue]:
    """The first residues of cyclic peptides, to whose nitrogen OpenMM would give three hydrogens."""
    bonded = {
        atom.residue
        for bond in topology.bonds()
        for atom, other in ((bond.atom1, bond.atom2), (bond.atom2, bond.atom1))
        if (atom.name, other.name) == ("N", "C") and other.residue.index > atom.residue.index
    }
    return [next(chain.residues()) for chain in topology.chains() if next(chain.residues()) in bonded]


def _list_hydrogens_of_middle(residue: app.topology.Residue, form: str | None, ph: float) -> list[tuple[str, str]]:
    """The hydrogens, each with the atom that bears it, that a residue has within a chain."""
    app.Modeller._loadStandardHydrogenDefinitions()
    if form is None and residue.name == "HIS":
        form = "HIP" if ph <= 6.5 else "HID"  # as OpenMM chooses
    form = "CYX" if _is_bridged(residue) else form
    return [
        (hydrogen.name, hydrogen.parent)
        for hydrogen in app.Modeller._residueHydrogens[residue.name].hydrogens
        if hydrogen.terminal is None
        and (hydrogen.variants is None or form in hydrogen.variants or (form is None and ph <= hydrogen.maxph))
    ]


def _is_bridged(residue: app.topology.Residue) -> bool:
    """Tell whether the sulfur of a cysteine is bonded to another residue."""
    return any(
        atom.name == "SG" and bond.atom1.residue is not bond.atom2.residue
        for bond in residue.bonds()
        for atom in bond
        if atom.residue is residue
    )


def _explain_refusal(topology: app.Topology, error: Exception) -> str:
    """Name the residue that the force field did not know, which OpenMM counts from 0."""
    counted = re.search(r"residue (\d+) \(|residue \((\d+)\)", str(error))
    residues = list(topology.residues())
    index = int(counted.group(1) or counted.group(2)) if counted else len(residues)
    if index >= len(residues):
        return f"hydrogens cannot be placed{quote_reason(error)}: look for incomplete residues in the file"
    residue = residues[index]
    chain = list(residue.chain.residues())
    if len(chain) == 1:
        return (
            f"{label_residue(residue)} is a chain of its own, and amber14 has no single residues: cap it with "
            'insert_before = "ACE" and insert_after = "NME", or take it out of the file'
        )
    place = "the first of its chain" if residue is chain[0] else "the last of its chain" if residue is chain[-1] else ""
    return (
        f"amber14 does not know {label_residue(residue)}{f', {place},' if place else ''} with its atoms and bonds: "
        "correct its atom names, or take atoms out of the file that do not belong to it"
    )


def _read_wishes(topology: app.Topology, wanted: Mapping[str, str]) -> dict[int, tuple[str, str]]:
    wishes = {}
    for key, form in wanted.items():
        residue = find_residue(topology, key, "variants")
        forms = VARIANTS.get(residue.name)
        if forms is None:
            raise PreparationError(f"variants names {label_residue(residue)}; only {', '.join(VARIANTS)} have forms")
        if form not in forms:
            nearest = name_nearest(form, forms)
            raise PreparationError(f"variants asks for form '{form}' of {label_residue(residue)}; {nearest}")
        wishes[residue.index] = (form, "asked for")
    return wishes


def _refuse_free_hydroxides(
    topology: app.Topology, wishes: Mapping[int, tuple[str, str]], bound: Mapping[int, tuple[str, str]]
) -> None:
    """Nothing holds a hydroxide in the box but a metal: amber14 has no parameters that would."""
    residues = list(topology.residues())
    for index, (form, _) in wishes.items():
        if form == "OH" and index not in bound:
            able = ", ".join(label_residue(residues[other]) for other in bound) or "none"
            raise PreparationError(
                f"variants asks for form 'OH' of {label_residue(residues[index])}, which binds no metal; "
                f"waters that do: {able}"
            )


def _read_form(residue: app.topology.Residue) -> str:
    """The form that the hydrogens of a residue make, and of a cysteine its bonds."""
    telling, forms = _FORMS[residue.name]
    form = forms[" ".join(sorted(telling & {atom.name for atom in residue.atoms()}))]
    return "CYX" if form == "CYM" and _is_bridged(residue) else form


def _by_rule(residue: app.topology.Residue, ph: float) -> str:
    if residue.name == "CYS" and _read_form(residue) == "CYX":
        return "disulfide"
    if residue.name == "HIS" and _read_form(residue) != "HIP":
        return f"pH {ph:g}, the better hydrogen bond"
    return f"pH {ph:g}"
