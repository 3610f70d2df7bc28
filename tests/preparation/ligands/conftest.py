"""A capped alanine with small molecules beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from orbmm.preparation.solute import Solute, build_solute
from orbmm.settings import LigandSettings, PreparationSettings, SystemSettings

WritePeptide = Callable[..., Path]
WriteStructure = Callable[[Sequence[str]], Path]
Keep = Callable[..., Solute]


@pytest.fixture
def write_structure(write_peptide: WritePeptide, tmp_path: Path) -> WriteStructure:
    """write_structure(lines of other residues) -> PDB file of a capped alanine and these."""

    def write(lines: Sequence[str]) -> Path:
        peptide = [line for line in write_peptide("ALA").read_text().splitlines() if line != "END"]
        path = tmp_path / "complex.pdb"
        path.write_text("\n".join([*peptide, *lines, "END", ""]))
        return path

    return write


@pytest.fixture
def keep() -> Keep:
    """keep(path or built-in system, ligand settings, ..., known=None, chains=("A",), ...) -> Solute."""

    def build(source: Path | str, *ligands: LigandSettings, known: object = None, **table: object) -> Solute:
        system = SystemSettings(name="x", source=str(source))
        return build_solute(system, PreparationSettings(ligand=ligands, **table), known)

    return build
