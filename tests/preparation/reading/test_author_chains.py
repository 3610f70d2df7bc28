"""Chains have the author's names in both formats, and what a choice of chains takes out is listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from oracles.peptide_lines import build_peptide, format_cif, format_lines

from orbmm.errors import PreparationError
from orbmm.preparation.solute import Solute

BuildSolute = Callable[..., Solute]


def write_chain(name: str, x: float) -> list[str]:
    """Two alanines with a zinc and a water of the same chain."""
    atoms = [(n, r, a, place + [x, 0, 0]) for n, r, a, place in build_peptide(["ALA", "HIS"])]
    others = [(262, "ZN", "ZN", np.array([x, 0, 9.0])), (263, "HOH", "O", np.array([x, 0, 15.0]))]
    zinc, water = format_lines(others, name, "HETATM", serial=90)
    return [*format_lines(atoms, name), "TER", f"{zinc[:12]}ZN  {zinc[16:76]}ZN", water]


def write_cif(chains: dict[str, Sequence[str]]) -> str:
    """The author's names of chains, given by their labels."""
    rows = [
        row
        for label, lines in chains.items()
        for row in format_cif([line for line in lines if line != "TER"], label).splitlines()
        if row.startswith(("ATOM", "HETATM"))
    ]
    head = format_cif([], "").rstrip("#\n")
    return "\n".join([head, *rows, "#", ""])


TWO = [*write_chain("H", 0.0), *write_chain("L", 30.0)]
CIF = write_cif({"A": write_chain("H", 0.0), "B": write_chain("L", 30.0)})


@pytest.mark.parametrize("content", [TWO, CIF], ids=["pdb", "cif"])
def test_a_chain_is_chosen_by_the_authors_name(content: list[str] | str, build: BuildSolute) -> None:
    solute = build(content, chains=("H",))
    assert {chain.id for chain in solute.modeller.topology.chains()} == {"H"}
    assert [site.metal for site in solute.metal_sites] == ["ZN H:262"]
    assert solute.repairs.chains_removed == ("L: 2 residues, ZN L:262, 1 waters",)
    assert solute.protonation[0].residue == "HIS H:2"


@pytest.mark.parametrize("content", [TWO, CIF], ids=["pdb", "cif"])
def test_settings_name_residues_by_the_authors_chain(content: list[str] | str, build: BuildSolute) -> None:
    (first, second) = build(content, variants={"H:2": "HIP"}).protonation
    assert (first.residue, first.form, second.residue) == ("HIS H:2", "HIP", "HIS L:2")


def test_a_label_is_no_name_of_a_chain(build: BuildSolute) -> None:
    with pytest.raises(PreparationError, match="chains names 'A', which the structure does not have; it has H, L"):
        build(CIF, chains=("A",))


def test_all_chains_stay_without_a_choice(build: BuildSolute) -> None:
    for content in (TWO, CIF):
        solute = build(content)
        assert solute.repairs.chains_removed == () and len(solute.metal_sites) == 2


def test_alternate_locations_and_variants_name_the_same_chain(build: BuildSolute) -> None:
    text = CIF.replace(" CB . HIS A ", " CB A HIS A ")
    options = {"alternate_locations": {"H:2": "A"}, "variants": {"H:2": "HID"}}
    solute = build(text, **options)
    assert solute.alternate_locations[0].residue == "HIS H:2" and solute.protonation[0].form == "HID"
