"""Small structures that need no file: a capped histidine, alone or with a zinc ion at one of its nitrogens."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from openmm import app, unit

from orbmm.preparation.capped_peptide import build_capped_peptide
from orbmm.preparation.solute import Solute, build_solute
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.system import SystemSettings

WritePeptide = Callable[..., Path]
BuildSolute = Callable[..., Solute]


def place_zinc(positions: dict[str, np.ndarray], nitrogen: str, distance: float) -> np.ndarray:
    """A point in the ring's plane, outside the ring, at a distance from one of its nitrogens [Å]."""
    outward = 2 * positions[nitrogen] - positions["CE1"] - positions["CG" if nitrogen == "ND1" else "CD2"]
    return positions[nitrogen] + distance * outward / np.linalg.norm(outward)


@pytest.fixture(scope="session")
def write_peptide(tmp_path_factory: pytest.TempPathFactory) -> WritePeptide:
    """write_peptide(residue, zinc_at="NE2", distance=2.1, leave_out=("CB",)) -> path of a PDB file."""

    build = cache(build_capped_peptide)

    def write(
        residue: str = "HIS", zinc_at: str | None = None, distance: float = 2.1, leave_out: tuple[str, ...] = ()
    ) -> Path:
        relaxed = build(residue)
        peptide = app.Modeller(relaxed.topology, relaxed.positions)
        positions = np.array(peptide.positions.value_in_unit(unit.angstrom))
        middle = list(peptide.topology.residues())[1]
        positions = {atom.name: positions[atom.index] for atom in middle.atoms()}
        peptide.delete([atom for atom in middle.atoms() if atom.name in leave_out])
        stream = io.StringIO()
        app.PDBFile.writeFile(peptide.topology, peptide.positions, stream)
        lines = [line for line in stream.getvalue().splitlines() if line.startswith(("ATOM", "HETATM", "TER"))]
        if zinc_at:
            x, y, z = place_zinc(positions, zinc_at, distance)
            lines.append(f"HETATM   99 ZN    ZN A  99    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          ZN")
        path = tmp_path_factory.mktemp("peptide") / f"{residue.lower()}.pdb"
        path.write_text("\n".join([*lines, "END", ""]))
        return path

    return write


def prepare_solute(path: Path, ph: float = 7.0, seed: int = 1, **table: object) -> Solute:
    """The solute of a file, without solvent."""
    return build_solute(
        SystemSettings(name="x", source=str(path), ph=ph, seed=seed), PreparationSettings(**table), None
    )


@pytest.fixture
def build(tmp_path: Path) -> BuildSolute:
    """build(lines of a PDB file or text of an mmCIF file, ph=7.0, seed=1, chains=("A",), ...) -> Solute."""

    def build_from(content: Sequence[str] | str, **options: object) -> Solute:
        path = tmp_path / ("given.cif" if isinstance(content, str) else "given.pdb")
        path.write_text(content if isinstance(content, str) else "\n".join([*content, "END", ""]))
        return prepare_solute(path, **options)

    return build_from
