"""A run names chains, residues and atoms in its topology files as in its structure, also where PDB has no room."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from openmm import app

from orbmm.analysis.reading.run_folder import read_run_folder
from orbmm.errors import UnstableRun
from orbmm.settings import Settings, override_settings, read_settings, write_settings
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]


def _rename(water_box: Path, to: Path, chain: str, first: int) -> Path:
    """Write the box as mmCIF, with another chain and residues numbered from another number."""
    pdb = app.PDBFile(str(water_box))
    for each in pdb.topology.chains():
        each.id = chain
    for number, residue in enumerate(pdb.topology.residues(), start=first):
        residue.id = str(number)
    text = io.StringIO()
    app.PDBxFile.writeFile(pdb.topology, pdb.positions, text, keepIds=True)
    to.write_text(text.getvalue())
    return to


def _list_names(topology: mdtraj.Topology) -> list[tuple[str, int, str, str]]:
    return [(atom.residue.chain.chain_id, atom.residue.resSeq, atom.residue.name, atom.name) for atom in topology.atoms]


@pytest.fixture
def shorter(settings: Settings) -> Settings:
    """A run of 20 steps with a checkpoint in its middle."""
    return override_settings(settings, {"run": {"length_ps": 0.01, "checkpoint_every_ps": 0.005}})


@pytest.mark.parametrize("frame_atoms", ["all", "name O"])
@pytest.mark.parametrize("chain, first", [("W", 9995), ("AB", 1), ("AB", 123450)])
def test_names_that_do_not_fit_a_pdb_file_are_kept(
    chain: str,
    first: int,
    frame_atoms: str,
    shorter: Settings,
    water_box: Path,
    classical_forces: Forces,
    tmp_path: Path,
) -> None:
    structure = _rename(water_box, tmp_path / "box.cif", chain, first)
    changes = {"system": {"structure": structure}, "run": {"frame_atoms": frame_atoms}}
    folder = start_run(override_settings(shorter, changes), forces=classical_forces()).folder
    assert not (folder / "topology.pdb").exists()
    recording = read_run_folder(folder)
    expected = [(chain, first + at // 3, "HOH", name) for at, name in enumerate(["O", "H1", "H2"] * 15)]
    assert _list_names(recording.all_atoms.topology) == expected
    assert _list_names(recording.start.topology) == (expected if frame_atoms == "all" else expected[::3])
    assert recording.all_atoms.topology.n_bonds == 30 and recording.all_atoms.unitcell_lengths is not None
    kept = str(folder / ("topology.cif" if frame_atoms == "all" else "trajectory.cif"))
    frames = mdtraj.load(folder / "trajectory.xtc", top=kept)
    assert np.abs(frames.xyz[0] - mdtraj.load(kept).xyz[0]).max() < 0.002


def test_names_that_fit_are_kept_in_a_pdb_file(
    shorter: Settings, water_box: Path, classical_forces: Forces, tmp_path: Path
) -> None:
    structure = _rename(water_box, tmp_path / "box.cif", "W", 9984)
    changed = override_settings(shorter, {"system": {"structure": structure}})
    folder = start_run(changed, forces=classical_forces()).folder
    assert not (folder / "topology.cif").exists()
    assert {name[:2] for name in _list_names(mdtraj.load_topology(folder / "topology.pdb"))} == {
        ("W", number) for number in range(9984, 9999)
    }


def test_a_pdb_file_would_rename_them(water_box: Path, tmp_path: Path) -> None:
    """Control: what OpenMM writes as PDB of such a box has other names."""
    box = app.PDBxFile(str(_rename(water_box, tmp_path / "box.cif", "AB", 9995)))
    with (tmp_path / "box.pdb").open("w") as stream:
        app.PDBFile.writeFile(box.topology, box.positions, stream, keepIds=True)
    topologies = [mdtraj.load_topology(str(tmp_path / f"box.{suffix}")) for suffix in ("pdb", "cif")]
    assert _list_names(topologies[0]) != _list_names(topologies[1])


def test_a_restraint_of_such_a_residue_acts_and_the_run_resumes(
    shorter: Settings, water_box: Path, classical_forces: Forces, tmp_path: Path
) -> None:
    structure = _rename(water_box, tmp_path / "box.cif", "AB", 9995)
    settings = override_settings(shorter, {"system": {"structure": structure}})
    restrained = tmp_path / "system.toml"
    write_settings(settings, restrained)
    restrained.write_text(
        restrained.read_text() + '\n[[stage]]\nkind = "produce"\n[[stage.restraint]]\nkind = "distance"\n'
        'between = ["AB:9995:O", "AB:10003:O"]\ndistance_nm = 0.3\nstiffness_kj_mol_nm2 = 10.0\n'
    )

    def stop(progress: Progress) -> None:
        if progress.step >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(read_settings(restrained), stop, classical_forces())
    assert settings.run.output is not None
    before = (settings.run.output / "topology.cif").read_bytes()
    outcome = resume_run(settings.run.output, forces=classical_forces())
    assert outcome.finished and (outcome.folder / "topology.cif").read_bytes() == before
    topology = read_run_folder(outcome.folder).start.topology
    assert topology.select("chainid 0 and resSeq 10003 and name O").size == 1


def test_the_last_frames_of_an_unstable_run_have_these_names(
    shorter: Settings, water_box: Path, classical_forces: Forces, tmp_path: Path
) -> None:
    structure = _rename(water_box, tmp_path / "box.cif", "AB", 9995)
    settings = override_settings(shorter, {"system": {"structure": structure}, "guard": {"force_limit_kj_mol_nm": 1.0}})
    with pytest.raises(UnstableRun, match="HOH"):
        start_run(settings, forces=classical_forces())
    (fault,) = (tmp_path / "run" / "rescue").glob("*/fault-*.cif")
    assert _list_names(mdtraj.load_topology(str(fault)))[0] == ("AB", 9995, "HOH", "O")
