"""A box of millions of atoms is refused before it is filled, with its size and the atom that is to blame."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracles.peptide_lines import build_peptide, format_lines

from orbmm.errors import PreparationError
from orbmm.preparation.prepare import prepare_system
from orbmm.settings import SystemSettings
from orbmm.settings.preparation import PreparationSettings

FAR = "HETATM   99  O   HOH B   9    9999.000   0.000   0.000  1.00  0.00           O"


def prepare(folder: Path, *lines: str, padding_nm: float = 1.0) -> None:
    path = folder / "peptide.pdb"
    path.write_text("\n".join([*format_lines(build_peptide(["GLY", "ALA"])), "TER", *lines, "END", ""]))
    settings = PreparationSettings(minimization_steps=1, equilibration_ps=0.0)
    prepare_system(SystemSettings(name="peptide", source=str(path), padding_nm=padding_nm), settings)


def test_one_atom_far_from_all_others_is_named(tmp_path: Path) -> None:
    words = r"1001 nm wide and hold some 1e\+11 atoms, more than 5,000,000: atom \w+ of HOH B:9 is 999\.7 nm from"
    with pytest.raises(PreparationError, match=words):
        prepare(tmp_path, FAR)


def test_a_padding_of_many_nanometres_is_named(tmp_path: Path) -> None:
    with pytest.raises(PreparationError, match="more than 5,000,000: .*choose a smaller padding_nm"):
        prepare(tmp_path, padding_nm=100.0)


def test_a_usual_box_is_filled(tmp_path: Path) -> None:
    prepare(tmp_path)
