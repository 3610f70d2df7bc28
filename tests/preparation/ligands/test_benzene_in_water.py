"""Benzene in water from a SMILES alone: `orbmm prepare`, then `orbmm run`."""

from __future__ import annotations

import json
from pathlib import Path

from openmm import app
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app

RECIPE = """\
[system]
name = "benzene"
source = "water"
padding_nm = 0.5

[preparation]
minimization_steps = 100
equilibration_ps = 0

[[preparation.ligand]]
residue = "BNZ"
smiles = "c1ccccc1"

[model]
name = "orb-mini-conservative-inf-xtb"
compile = false

[run]
length_ps = 0.002
minimize_iterations = 2
frame_every_fs = 1
table_every_fs = 1
"""


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


def test_benzene_is_prepared_and_run(tmp_path: Path) -> None:
    recipe, folder = tmp_path / "recipe.toml", tmp_path / "prepared"
    recipe.write_text(RECIPE)
    prepared = invoke("prepare", recipe, "--output", folder)
    assert prepared.exit_code == 0, prepared.stderr
    assert "BNZ A:1: c1ccccc1, charge +0; coordinates built by RDKit" in " ".join(prepared.stdout.split())
    (ligand,) = json.loads((folder / "preparation.json").read_text())["ligands"]
    assert (ligand["residue"], ligand["atoms"], ligand["parameters"][-10:]) == ("BNZ A:1", 12, "held rigid")
    topology = app.PDBFile(str(folder / "benzene.pdb")).topology
    benzene = next(residue for residue in topology.residues() if residue.name == "BNZ")
    assert len(list(benzene.internal_bonds())) == 12
    ran = invoke("run", folder / "system.toml", "--output", tmp_path / "run", "--no-analyze")
    assert ran.exit_code == 0, ran.stderr
    assert len((tmp_path / "run" / "energies.csv").read_text().splitlines()) > 3


def test_bromobenzene_is_refused_because_the_network_does_not_know_bromine(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.replace("c1ccccc1", "c1ccccc1Br"))
    refused = invoke("prepare", recipe, "--output", tmp_path / "prepared")
    assert refused.exit_code == 2
    assert "orb-mini-conservative-inf-xtb was not trained on Br (in BNZ)" in refused.stderr
