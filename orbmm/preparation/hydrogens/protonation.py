"""Hydrogens by pH, by metals and by wish, placed repeatably."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from openmm import Platform, app

from orbmm.errors import PreparationError, name_nearest
from orbmm.preparation.force_field import load_force_field, refuse_unknown_residues
from orbmm.preparation.hydrogens.metal_sites import (
    MetalSite,
    choose_binding_variants,
    find_bound_waters,
    remove_protons,
)
from orbmm.preparation.randomness import seeded_random
from orbmm.preparation.residues import find_residue, is_water, label_residue

VARIANTS = {
    "ASP": ("ASP", "ASH"),
    "CYS": ("CYS", "CYX"),
    "GLU": ("GLU", "GLH"),
    "HIS": ("HID", "HIE", "HIP"),
    "LYS": ("LYS", "LYN"),
    "HOH": ("HOH", "OH"),
}
# The hydrogens that tell the forms apart, and the form that has exactly these.
_FORMS = {
    "ASP": ({"HD2"}, {"HD2": "ASH", "": "ASP"}),
    "CYS": ({"HG"}, {"HG": "CYS", "": "CYX"}),
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
    modeller: app.Modeller, ph: float, wanted: Mapping[str, str], sites: Iterable[MetalSite], seed: int
) -> tuple[Protonation, ...]:
    """Add all hydrogens to the modeller; what a metal dictates overrules pH, and what is asked for overrules both.

    wanted: form by residue, {"A:64": "HIP"}
    Raises PreparationError: unknown residue or form, or a residue that the force field does not know.
    """
    sites = tuple(sites)
    bound = find_bound_waters(modeller.topology, sites)
    wishes = _read_wishes(modeller.topology, wanted)
    _refuse_free_hydroxides(modeller.topology, wishes, bound)
    dictated = choose_binding_variants(modeller.topology, sites) | bound | wishes
    refuse_unknown_residues(modeller.topology)
    with seeded_random(seed):
        _place(modeller, ph, dictated)
    remove_protons(modeller, {index for index, (form, _) in wishes.items() if form == "OH"})
    reasons = {index: reason for index, (_, reason) in dictated.items()}
    return tuple(
        Protonation(label_residue(residue), _read_form(residue), reasons.get(residue.index) or _by_rule(residue, ph))
        for residue in modeller.topology.residues()
        if residue.name in VARIANTS and (not is_water(residue) or residue.index in reasons)
    )


def _place(modeller: app.Modeller, ph: float, dictated: Mapping[int, tuple[str, str]]) -> None:
    """Hydrogens in the forms that are dictated by residue index; waters get both of theirs."""
    variants = [
        None if is_water(residue) else dictated.get(residue.index, (None, ""))[0]
        for residue in modeller.topology.residues()
    ]
    platform = Platform.getPlatform("Reference")  # repeats bitwise
    try:
        modeller.addHydrogens(load_force_field(), pH=ph, variants=variants, platform=platform)
    except ValueError as error:
        raise PreparationError(f"hydrogens cannot be placed: {error}") from error


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
    """The form that the hydrogens of a residue make."""
    telling, forms = _FORMS[residue.name]
    return forms[" ".join(sorted(telling & {atom.name for atom in residue.atoms()}))]


def _by_rule(residue: app.topology.Residue, ph: float) -> str:
    if residue.name == "CYS" and _read_form(residue) == "CYX":
        return "disulfide"
    if residue.name == "HIS" and _read_form(residue) != "HIP":
        return f"pH {ph:g}, the better hydrogen bond"
    return f"pH {ph:g}"
