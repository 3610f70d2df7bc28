"""An ion has the charge that its name or the file states, or is refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from oracles.peptide_lines import build_peptide, format_cif, format_lines

from orbmm.errors import PreparationError
from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.solute import Solute

BuildSolute = Callable[..., Solute]
PEPTIDE = format_lines(build_peptide(["ALA", "ALA"]))  # without a charge
# Residue name, element: charge, from the Chemical Component Dictionary.
KNOWN = {
    ("ZN", "ZN"): 2, ("MG", "MG"): 2, ("CA", "CA"): 2, ("MN", "MN"): 2, ("NI", "NI"): 2, ("CU", "CU"): 2,
    ("CO", "CO"): 2, ("CD", "CD"): 2, ("HG", "HG"): 2, ("FE2", "FE"): 2, ("FE", "FE"): 3, ("CR", "CR"): 3,
    ("EU", "EU"): 2, ("EU3", "EU"): 3, ("SM", "SM"): 3, ("CE", "CE"): 3, ("AL", "AL"): 3, ("NA", "NA"): 1,
    ("K", "K"): 1, ("SOD", "NA"): 1, ("POT", "K"): 1, ("CAL", "CA"): 2, ("ZN2", "ZN"): 2,
}  # fmt: skip
UNKNOWN = {
    ("CU1", "CU"): r"CU1 I:1 as Cu\+; it has Cu2\+: rename the residue \(CU for Cu2\+\)",
    ("MN3", "MN"): r"MN3 I:1 as Mn3\+; it has Mn2\+",
    ("AG", "AG"): r"AG I:1 as Ag\+; it has Ag2\+",
    ("3CO", "CO"): r"3CO I:1 as Co3\+; it has Co2\+",
    ("AU", "AU"): r"AU I:1 as Au\+; you may take it out",
    ("XFE", "FE"): r"XFE I:1 as Fe; it has Fe2\+ and Fe3\+: rename the residue \(FE2 for Fe2\+ or FE for Fe3\+\)",
}


def write_ion(residue: str, element: str, charge: str = "") -> str:
    (line,) = format_lines([(1, residue, "X", np.array([0.0, 0.0, 30.0]))], "I", "HETATM", serial=90)
    return f"{line[:12]}{element:<4s}{line[16:76]}{element:>2s}{charge}"


@pytest.mark.parametrize(("residue", "element"), KNOWN)
def test_the_charge_follows_the_name(residue: str, element: str, build: BuildSolute) -> None:
    charge = KNOWN[residue, element]
    solute = build([*PEPTIDE, "TER", write_ion(residue, element)])
    assert solute.ion_charges == {f"{residue} I:1": charge}
    assert sum_charge(solute.modeller.topology) == charge


@pytest.mark.parametrize(("residue", "element"), UNKNOWN)
def test_an_ion_that_the_force_field_lacks_is_refused_by_name(residue: str, element: str, build: BuildSolute) -> None:
    with pytest.raises(PreparationError, match=f"amber14 does not know {UNKNOWN[residue, element]}") as refusal:
        build([*PEPTIDE, "TER", write_ion(residue, element)])
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 240


@pytest.mark.parametrize("style", ["pdb", "cif"])
def test_a_charge_in_the_file_overrules_the_name_and_is_spoken_of(style: str, build: BuildSolute) -> None:
    lines = [*PEPTIDE, write_ion("FE", "FE", "2+")]
    if style == "cif":
        text = format_cif(lines, "A").replace("_atom_site.pdbx_PDB_model_num", "_atom_site.pdbx_formal_charge")
        rows = [f"{row[:-1]}?" if row.startswith("ATOM") else row for row in text.splitlines()]
        solute = build("\n".join(f"{row[:-1]}2" if row.startswith("HETATM") else row for row in [*rows, ""]))
    else:
        solute = build(lines)
    assert solute.ion_charges == {"FE2 I:1": 2}
    assert solute.repairs.warnings == ("FE I:1 has the charge of Fe2+ in the file: taken as FE2",)


def test_a_charge_that_the_name_has_too_changes_nothing(build: BuildSolute) -> None:
    solute = build([*PEPTIDE, "TER", write_ion("ZN", "ZN", "2+")])
    assert solute.ion_charges == {"ZN I:1": 2} and solute.repairs.warnings == ()
    with pytest.raises(PreparationError, match=r"ZN I:1 is Zn\+ in the file, an ion that is not known"):
        build([*PEPTIDE, "TER", write_ion("ZN", "ZN", "1+")])
