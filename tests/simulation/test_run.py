"""A run writes what it promises, and depends on its settings and seed alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from orbmm.errors import OutOfMemory, RunError, StructureError
from orbmm.settings import Settings, override_settings, read_settings
from orbmm.simulation.dynamics.dynamics import Dynamics
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]


def _final_positions(folder: Path) -> np.ndarray:
    newest = max((folder / "checkpoints").iterdir())
    state = openmm.XmlSerializer.deserialize((newest / "state.xml").read_text())
    return np.array(state.getPositions(asNumpy=True)._value)


def test_a_run_folder_holds_frames_rows_and_the_record(settings: Settings, classical_forces: Forces) -> None:
    outcome = start_run(settings, forces=classical_forces())
    assert outcome.finished and outcome.step == 60
    folder = outcome.folder
    trajectory = mdtraj.load(folder / "trajectory.xtc", top=folder / "topology.pdb")
    assert np.allclose(trajectory.time, 0.002 * np.arange(16))
    rows = np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)
    assert rows["step"].tolist() == list(range(0, 61, 10))
    assert np.allclose(rows["total_energy_kJ_mol"], rows["potential_energy_kJ_mol"] + rows["kinetic_energy_kJ_mol"])
    degrees = {
        symbol: 3.0 * (atoms - mass / (15 * 18.015)) for symbol, atoms, mass in (("H", 30, 30.24), ("O", 15, 239.985))
    }
    both = sum(degrees[symbol] * rows[f"temperature_{symbol}_K"] for symbol in degrees) / (3 * 45 - 3)
    assert np.allclose(both, rows["temperature_K"], rtol=1e-4)
    record = json.loads((folder / "run.json").read_text())
    assert record["weights_sha256"] == "0" * 64
    assert record["degrees_of_freedom"] == 3 * 45 - 3
    assert record["seed"] == 1
    written = read_settings(folder / "settings.toml")
    assert written.run.friction_per_ps == 1.0
    assert written.system.structure == folder / "input" / "structure.pdb"


def test_frame_zero_is_the_topology_file(settings: Settings, classical_forces: Forces) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    first = mdtraj.load_frame(str(folder / "trajectory.xtc"), 0, top=str(folder / "topology.pdb"))
    start = mdtraj.load(folder / "topology.pdb")
    assert np.abs(first.xyz - start.xyz).max() < 0.002  # both formats round
    assert np.allclose(first.unitcell_lengths, start.unitcell_lengths, atol=1e-4)


def test_the_potential_energy_belongs_to_its_frame(settings: Settings, classical_forces: Forces) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    rows = np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)
    structure = app.PDBFile(str(folder / "topology.pdb"))
    system = classical_forces().create_system(structure.topology)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    newest = max((folder / "checkpoints").iterdir())
    context.setState(openmm.XmlSerializer.deserialize((newest / "state.xml").read_text()))
    energy = context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    assert abs(rows["potential_energy_kJ_mol"][-1] - energy) < 1e-5
    assert abs(rows["potential_energy_kJ_mol"][-2] - energy) > 1e-3


def test_dcd_holds_the_same_frames_as_xtc(settings: Settings, classical_forces: Forces, tmp_path: Path) -> None:
    xtc = start_run(settings, forces=classical_forces()).folder
    changed = override_settings(settings, {"run": {"trajectory": "dcd", "output": tmp_path / "dcd"}})
    dcd = start_run(changed, forces=classical_forces()).folder
    one = mdtraj.load(xtc / "trajectory.xtc", top=xtc / "topology.pdb")
    other = mdtraj.load(dcd / "trajectory.dcd", top=dcd / "topology.pdb")
    assert one.xyz.shape == other.xyz.shape
    assert np.abs(one.xyz - other.xyz).max() < 0.001  # XTC rounds to 0.001 nm


def test_equal_seeds_repeat_bit_by_bit_and_others_do_not(
    settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    finals = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        changed = override_settings(settings, {"run": {"seed": seed, "output": tmp_path / name}})
        finals.append(_final_positions(start_run(changed, forces=classical_forces()).folder))
    assert np.array_equal(finals[0], finals[1])
    assert not np.array_equal(finals[0], finals[2])


def test_what_is_written_does_not_change_the_dynamics(
    settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    rarely = {"frame_every_fs": 30.0, "table_every_fs": 30.0, "checkpoint_every_ps": 0.03, "output": tmp_path / "rare"}
    often = start_run(settings, forces=classical_forces()).folder
    seldom = start_run(override_settings(settings, {"run": rarely}), forces=classical_forces()).folder
    assert np.array_equal(_final_positions(often), _final_positions(seldom))


def test_a_state_file_gives_positions_velocities_and_box(
    settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    first = start_run(settings, forces=classical_forces()).folder
    state = max((first / "checkpoints").iterdir()) / "state.xml"
    changed = override_settings(settings, {"system": {"state": state}, "run": {"output": tmp_path / "second"}})
    second = start_run(changed, forces=classical_forces()).folder
    rows = [np.genfromtxt(folder / "energies.csv", delimiter=",", names=True) for folder in (first, second)]
    assert rows[0]["temperature_K"][-1] == rows[1]["temperature_K"][0]
    assert rows[0]["potential_energy_kJ_mol"][-1] == pytest.approx(rows[1]["potential_energy_kJ_mol"][0], abs=1e-6)
    assert rows[0]["temperature_K"][0] != rows[1]["temperature_K"][0]


def test_a_second_run_in_the_same_folder_is_refused(settings: Settings, classical_forces: Forces) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    before = (folder / "trajectory.xtc").read_bytes()
    with pytest.raises(RunError, match="orbmm resume .* or choose another --output"):
        start_run(settings, forces=classical_forces())
    assert (folder / "trajectory.xtc").read_bytes() == before


def test_a_run_without_output_goes_to_runs_and_its_name(
    settings: Settings, classical_forces: Forces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = {"output": None, "length_ps": 0.001, "frame_every_fs": 1.0, "table_every_fs": 1.0}
    run = type(settings.run)(**{**vars(settings.run), **values})
    outcome = start_run(Settings(settings.system, run=run), forces=classical_forces())
    assert outcome.folder == tmp_path / "runs" / "water"


def test_bad_inputs_end_in_one_sentence(settings: Settings, classical_forces: Forces, tmp_path: Path) -> None:
    (tmp_path / "empty.pdb").write_text("END\n")
    (tmp_path / "noise.cif").write_text("not a structure")
    (tmp_path / "box.xyz").write_text("1\n\nH 0 0 0\n")
    (tmp_path / "state.xml").write_text("<System/>")
    (tmp_path / "torn.xml").write_text('<?xml version="1.0" ?>\n<State openmmVersion="8.6"><Positions>')
    cases = [
        ({"structure": tmp_path / "none.pdb"}, RunError, "does not exist"),
        ({"structure": tmp_path / "empty.pdb"}, StructureError, "no atoms"),
        ({"structure": tmp_path / "noise.cif"}, StructureError, "no atoms can be read from this .cif file"),
        ({"structure": tmp_path / "box.xyz"}, StructureError, "suffix must be one of"),
        ({"state": tmp_path / "none.xml"}, RunError, "does not exist"),
        ({"state": tmp_path / "state.xml"}, StructureError, "is not the XML of an OpenMM State"),
        ({"state": tmp_path / "torn.xml"}, StructureError, "is not the XML of an OpenMM State"),
    ]
    for changes, kind, expected in cases:
        with pytest.raises(kind, match=expected) as caught:
            start_run(override_settings(settings, {"system": changes}), forces=classical_forces())
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def _refuse_start(error: Exception, forces: Forces, monkeypatch: pytest.MonkeyPatch) -> ForceSource:
    """Forces with which the first evaluation ends in an error, after all files of a start were written."""

    def refuse(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(Dynamics, "observe", refuse)
    return forces()


def test_the_folder_of_a_refused_start_does_not_bar_the_way(
    settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlap = StructureError("atoms 0 and 1 lie on top of each other")
    with monkeypatch.context() as patch, pytest.raises(StructureError, match="on top of each other"):
        start_run(settings, forces=_refuse_start(overlap, classical_forces, patch))
    assert not settings.run.output.exists()
    assert start_run(settings, forces=classical_forces()).finished


def test_the_folder_of_a_refused_start_stays_where_it_is_older_or_holds_more(
    settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave_rescue(*_: object) -> NoReturn:
        (settings.run.output / "rescue" / "step-0").mkdir(parents=True)
        raise StructureError("atoms 0 and 1 lie on top of each other")

    settings.run.output.mkdir()
    forces = _refuse_start(StructureError("refused"), classical_forces, monkeypatch)
    with pytest.raises(StructureError, match="refused"):
        start_run(settings, forces=forces)
    assert (settings.run.output / "run.json").is_file(), "older"
    shutil.rmtree(settings.run.output)
    monkeypatch.setattr(Dynamics, "observe", leave_rescue)
    with pytest.raises(StructureError, match="on top of each other"):
        start_run(settings, forces=forces)
    assert (settings.run.output / "rescue").is_dir(), "with something to look at"


def test_a_run_that_ends_for_want_of_memory_can_be_resumed(
    settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(OutOfMemory):
        start_run(settings, forces=_refuse_start(OutOfMemory("no room"), classical_forces, patch))
    assert resume_run(settings.run.output, forces=classical_forces()).finished


def test_a_refusal_after_the_first_frame_leaves_what_there_is(
    settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise StructureError("an atom flew away")

    with monkeypatch.context() as patch, pytest.raises(StructureError):
        patch.setattr(Dynamics, "advance", refuse)
        start_run(settings, forces=classical_forces())
    assert resume_run(settings.run.output, forces=classical_forces()).finished


def test_an_absent_platform_is_refused_by_name(settings: Settings, classical_forces: Forces) -> None:
    present = {openmm.Platform.getPlatform(index).getName() for index in range(openmm.Platform.getNumPlatforms())}
    absent = next(name for name in ("HIP", "CUDA", "OpenCL") if name not in present)
    with pytest.raises(RunError, match=f"{absent}.*available: "):
        start_run(override_settings(settings, {"run": {"platform": absent}}), forces=classical_forces())


def test_a_folder_that_cannot_be_made_is_named(settings: Settings, classical_forces: Forces, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    changed = override_settings(settings, {"run": {"output": tmp_path / "file" / "run"}})
    with pytest.raises(RunError, match="cannot be made"):
        start_run(changed, forces=classical_forces())
