"""A cysteine without its hydrogen is a thiolate (CYM, charge -1), and one half of a disulfide only where it has one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from oracles.peptide_lines import build_peptide, format_lines

from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.solute import Solute

BuildSolute = Callable[..., Solute]
CYSTEINE = build_peptide(["ALA", "CYS", "ALA"])


@pytest.mark.parametrize("form", ["CYM", "CYX"])
def test_a_thiolate_that_is_asked_for_is_recorded_as_one(form: str, build: BuildSolute) -> None:
    solute = build(format_lines(CYSTEINE), variants={"A:2": form})
    (entry,) = solute.protonation
    assert (entry.residue, entry.form, entry.reason) == ("CYS A:2", "CYM", "asked for")
    assert sum_charge(solute.modeller.topology) == -1


def test_a_cysteine_at_a_metal_is_recorded_as_a_thiolate(build: BuildSolute) -> None:
    plain = build(format_lines(CYSTEINE)).modeller
    at = {a.name: 10 * np.array(plain.positions[a.index]._value) for a in plain.topology.atoms() if a.residue.id == "2"}
    outward = at["SG"] - at["CB"]
    zinc = at["SG"] + 2.3 * outward / np.linalg.norm(outward)
    atoms = [atom for atom in CYSTEINE if atom[0] < 2] + [(2, "CYS", name, at[name]) for name in at if name[0] != "H"]
    (line,) = format_lines([(90, "ZN", "ZN", zinc)], record="HETATM", serial=90)
    lines = [*format_lines([*atoms, *(a for a in CYSTEINE if a[0] > 2)]), "TER", f"{line[:12]}ZN  {line[16:76]}ZN"]
    solute = build(lines)
    (entry,) = solute.protonation
    assert (entry.form, entry.reason) == ("CYM", "binds ZN A:90 through SG")
    assert sum_charge(solute.modeller.topology) == 2 - 1
