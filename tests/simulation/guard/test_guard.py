"""Dynamics that go wrong are stopped by one sentence, before anything wrong is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app

from orbmm.errors import ForceError, OutOfMemory, UnstableRun
from orbmm.run_files.layout import RunFolder
from orbmm.settings import ModelSettings, Settings, override_settings
from orbmm.simulation.advice import explain_memory_errors, name_way_out
from orbmm.simulation.dynamics.frame import Frame
from orbmm.simulation.dynamics.thermometer import Thermometer, find_elements
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.guard.watches import HeatWatch
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import resume_run, start_run
from orbmm.units import KJ_PER_MOL_PER_KELVIN

Forces = Callable[..., ForceSource]
FAULT_FROM_TIME_PS = 0.0124


def _after_a_while(energy: float, forces: Callable[[np.ndarray], np.ndarray]) -> Callable[[], openmm.Force]:
    """A PythonForce that is zero first and then does what is given."""

    def compute(state: openmm.State) -> tuple[float, np.ndarray]:
        positions = state.getPositions(asNumpy=True)._value
        if state.getTime()._value < FAULT_FROM_TIME_PS:
            return 0.0, np.zeros_like(positions)
        return energy, forces(positions)

    return lambda: openmm.PythonForce(compute)


def _nan_on_one_atom(positions: np.ndarray) -> np.ndarray:
    forces = np.zeros_like(positions)
    forces[4, 1] = np.nan
    return forces


def _explosion(positions: np.ndarray) -> np.ndarray:
    return 1e5 * (positions - positions.mean(axis=0))


def _pull_one_hydrogen_away(positions: np.ndarray) -> np.ndarray:
    forces = np.zeros_like(positions)
    forces[4] = 30000.0 * (positions[4] - positions[3]) / np.linalg.norm(positions[4] - positions[3])
    return forces


def _failure(positions: np.ndarray) -> np.ndarray:
    raise ValueError("the graph cannot be built")


def _no_memory(positions: np.ndarray) -> np.ndarray:
    raise MemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_nan_in_a_force_stops_the_run(platform: str, settings: Settings, classical_forces: Forces) -> None:
    settings = override_settings(settings, {"run": {"platform": platform}})
    with pytest.raises(UnstableRun, match=r"unstable at step \d+ .* the last good checkpoint is kept") as caught:
        start_run(settings, forces=classical_forces(_after_a_while(0.0, _nan_on_one_atom)))
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    folder = settings.run.output
    assert folder is not None
    _assert_only_good_data(folder)


@pytest.mark.parametrize("between_looks_fs", [0.5, 5.0])
def test_step_and_atom_are_named_also_where_the_guard_looked_later(
    between_looks_fs: float, settings: Settings, classical_forces: Forces
) -> None:
    forces = classical_forces(_after_a_while(0.0, _nan_on_one_atom))
    rare = {"frame_every_fs": between_looks_fs, "table_every_fs": between_looks_fs}
    with pytest.raises(UnstableRun, match=r"step 25 .*: the forces on atom 4 \(H1 of HOH 2\) are not finite"):
        start_run(override_settings(settings, {"run": rare}), forces=forces)


def test_the_last_good_frames_and_the_fault_are_kept(settings: Settings, classical_forces: Forces) -> None:
    with pytest.raises(UnstableRun, match="the last good frames and forces are in .*rescue") as caught:
        start_run(settings, forces=classical_forces(_after_a_while(0.0, _nan_on_one_atom)))
    assert settings.run.output is not None
    (rescue,) = (settings.run.output / "rescue").iterdir()
    assert str(rescue) in str(caught.value)
    assert RunFolder(settings.run.output).read_reason() == (rescue / "reason.txt").read_text().rstrip()
    assert (rescue / "reason.txt").read_text().rstrip() in str(caught.value)
    names = sorted(path.name for path in rescue.iterdir())
    steps = (20, 24)
    assert {f"good-{step:012d}.pdb" for step in steps} | {f"good-{step:012d}-forces.csv" for step in steps} < set(names)
    frame = mdtraj.load(rescue / "good-000000000024.pdb")
    assert frame.n_atoms == 45 and np.isfinite(frame.xyz).all()
    table = np.genfromtxt(rescue / "fault-000000000025-forces.csv", delimiter=",", skip_header=1, usecols=(3, 4, 5))
    assert np.flatnonzero(np.isnan(table).any(axis=1)).tolist() == [4]


def test_a_rescue_that_cannot_be_written_does_not_hide_the_reason(settings: Settings, classical_forces: Forces) -> None:
    def spoil(progress: Progress) -> None:
        assert settings.run.output is not None
        (settings.run.output / "rescue").touch()

    with pytest.raises(UnstableRun, match=r"atom 4 \(H1 of HOH 2\).*the last good frames cannot be written"):
        start_run(settings, spoil, classical_forces(_after_a_while(0.0, _nan_on_one_atom)))


def test_a_start_that_is_bad_is_told_before_anything_is_written(settings: Settings, classical_forces: Forces) -> None:
    with pytest.raises(UnstableRun, match=r"step 0 .*above the limit of 10; .* there is no checkpoint. Try"):
        start_run(override_settings(settings, {"guard": {"force_limit_kj_mol_nm": 10.0}}), forces=classical_forces())


def test_an_infinite_energy_stops_the_run(settings: Settings, classical_forces: Forces) -> None:
    forces = classical_forces(_after_a_while(float("inf"), np.zeros_like))
    with pytest.raises(UnstableRun, match="the potential energy is inf"):
        start_run(settings, forces=forces)


def test_a_force_above_the_limit_stops_the_run(settings: Settings, classical_forces: Forces) -> None:
    forces = classical_forces(_after_a_while(0.0, _explosion))
    with pytest.raises(UnstableRun, match=r"step 25 .*the force on atom \d+ .* kJ/mol/nm, above the limit of 50000"):
        start_run(settings, forces=forces)


def test_a_box_that_boils_stops_the_run(settings: Settings, classical_forces: Forces) -> None:
    forces = classical_forces(_after_a_while(0.0, _explosion))
    lax = {"force_limit_kj_mol_nm": 1e9, "allow_reactions": True}
    with pytest.raises(UnstableRun, match=r"the temperature is \d+ K, above the limit of 1200 K; hottest is atom"):
        start_run(override_settings(settings, {"guard": lax}), forces=forces)


def test_a_broken_bond_stops_the_run_unless_reactions_are_allowed(settings: Settings, classical_forces: Forces) -> None:
    forces = classical_forces(_after_a_while(0.0, _pull_one_hydrogen_away))
    lax = {"force_limit_kj_mol_nm": 1e9, "temperature_limit_kelvin": 1e9}
    with pytest.raises(
        UnstableRun,
        match=r"bond of atoms 3 \(O of HOH 2\), 4 \(H1 of HOH 2\) is broken: .* falls apart at HOH 2;",
    ):
        start_run(override_settings(settings, {"guard": lax}), forces=forces)
    assert settings.run.output is not None
    elsewhere = {"output": settings.run.output.with_name("reactive")}
    reactive = override_settings(settings, {"guard": {**lax, "allow_reactions": True}, "run": elsewhere})
    assert start_run(reactive, forces=forces).finished


def test_a_system_that_flies_away_stops_the_run(settings: Settings, classical_forces: Forces) -> None:
    masses = np.tile([15.999, 1.008, 1.008], 15)[:, None]
    forces = classical_forces(_after_a_while(0.0, lambda positions: 4e5 * masses * np.array([1.0, 0.0, 0.0])))
    lax = {"force_limit_kj_mol_nm": 1e9, "temperature_limit_kelvin": 1e9}
    with pytest.raises(UnstableRun, match=r"the whole system has drifted by 0\.\d+ nm, above the limit of 0.5 nm"):
        start_run(override_settings(settings, {"guard": lax}), forces=forces)


def test_one_element_alone_can_be_too_hot() -> None:
    topology = app.Topology()
    chain = topology.addChain()
    for index in range(1000):
        residue = topology.addResidue("X", chain)
        topology.addAtom("X", app.element.zinc if index == 7 else app.element.oxygen, residue)
    masses = np.array([atom.element.mass._value for atom in topology.atoms()])
    watch, read = _watch_heat(topology, masses)
    thermal = np.random.default_rng(1).normal(size=(1000, 3)) * np.sqrt(KJ_PER_MOL_PER_KELVIN * 300.0 / masses)[:, None]
    assert watch.find_fault(read(thermal)) is None
    thermal[7] *= np.sqrt(3000.0 / 300.0)  # what one atom of 3 degrees of freedom may show by chance
    assert watch.find_fault(read(thermal)) is None
    thermal[7] = np.sqrt(3.0 * KJ_PER_MOL_PER_KELVIN * 9000.0 / masses[7] / 3.0)
    assert "the temperature of the 1 Zn is 9000 K" in str(watch.find_fault(read(thermal)))


def test_the_element_that_ran_hot_first_is_named_though_all_are_hot_at_the_end() -> None:
    topology = app.Topology()
    residue = topology.addResidue("X", topology.addChain())
    for index in range(90):
        topology.addAtom("X", app.element.nitrogen if index < 20 else app.element.hydrogen, residue)
    masses = np.array([atom.element.mass._value for atom in topology.atoms()])
    random = np.random.default_rng(2)

    def stop(hot: float) -> str:
        """Sixteen checks with nitrogen at `hot` and hydrogen at 300 K, then one at 2000 K."""
        watch, read = _watch_heat(topology, masses)
        for _ in range(16):
            kelvin = np.where(np.arange(90) < 20, hot, 300.0)
            scale = np.sqrt(KJ_PER_MOL_PER_KELVIN * kelvin / masses)[:, None]
            assert watch.find_fault(read(random.normal(size=(90, 3)) * scale)) is None
        return str(watch.find_fault(read(random.normal(size=(90, 3)) * scale * np.sqrt(2000.0 / 300.0))))

    assert "N ran hot first" in stop(600.0)
    assert "ran hot first" not in stop(300.0)


def _watch_heat(topology: app.Topology, masses: np.ndarray) -> tuple[HeatWatch, Callable[[np.ndarray], Frame]]:
    """Return the watch with a bath of 300 K and a limit of 1200 K, and how velocities become a frame for it."""
    thermometer = Thermometer(masses, 3 * len(masses), removes_drift=False, elements=find_elements(topology))

    def read(velocities: np.ndarray) -> Frame:
        kinetic = thermometer.kinetic_energy(velocities)
        temperature = thermometer.temperature(kinetic)
        named = thermometer.name_temperatures(velocities)
        return Frame(0, 0.0, velocities, velocities, None, kinetic, temperature, element_temperatures=named)

    return HeatWatch(topology, thermometer, bath_kelvin=300.0, limit_kelvin=1200.0), read


def test_a_harmless_extra_force_does_not_stop_the_run(settings: Settings, classical_forces: Forces) -> None:
    assert start_run(settings, forces=classical_forces(_after_a_while(1.0, np.zeros_like))).finished


def test_a_failing_force_is_no_instability_and_its_reason_is_told(settings: Settings, classical_forces: Forces) -> None:
    with pytest.raises(ForceError, match="the graph cannot be built"):
        start_run(settings, forces=classical_forces(_after_a_while(0.0, _failure)))


def test_out_of_memory_ends_with_exit_code_3_the_checkpoint_and_what_would_fit(
    settings: Settings, classical_forces: Forces
) -> None:
    large = override_settings(
        settings, {"model": {"name": "orb-v3-conservative-inf-omat", "memory": "lean", "edges_per_block": 64}}
    )
    expected = r"after step 25: .*20.00 GiB; the last good checkpoint is kept; .* \"orb-v3-conservative-20-omat\""
    with pytest.raises(OutOfMemory, match=expected) as caught:
        start_run(large, forces=classical_forces(_after_a_while(0.0, _no_memory)))
    assert caught.value.exit_code == 3
    assert settings.run.output is not None
    assert resume_run(settings.run.output, forces=classical_forces()).finished


@pytest.mark.parametrize(
    "model, expected",
    [
        (ModelSettings("orb-v3-conservative-inf-omat"), 'set memory = "lean"'),
        (ModelSettings(compile=True), "set compile = false"),
        (ModelSettings(precision="float64", memory="lean", device="cuda"), "set edges_per_block = 1024"),
        (ModelSettings(precision="float64", memory="lean", device="cpu"), 'set precision = "float32-high"'),
        (ModelSettings(precision="float64", memory="lean"), 'set precision = "float32-high"'),  # auto, without a GPU
        (ModelSettings("orb-v3-direct-inf-omat", edges_per_block=1024), 'new run with name = "orb-v3-direct-20-omat"'),
        (ModelSettings("orb-v3-conservative-20-omat", memory="lean", device="cpu"), '"orb-v3-direct-20-omat"'),
        (ModelSettings("orb-v3-conservative-omol", memory="lean", device="cpu"), '"orb-v3-direct-omol"'),
        (ModelSettings("orb-v3-direct-20-omat", device="cpu"), "new run with a smaller box"),
    ],
    ids=lambda value: value.name if isinstance(value, ModelSettings) else "",
)
def test_the_setting_that_would_fit_is_the_one_that_changes_least(
    model: ModelSettings, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    way_out = name_way_out(RunFolder(tmp_path), model)
    assert expected in way_out
    assert (f"orbmm resume --force-new-settings {tmp_path}" in way_out) is ("new run" not in way_out)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 20.0 GiB for an array"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("Error allocating array posq: CUDA_ERROR_OUT_OF_MEMORY (2)"),
    ],
    ids=repr,
)
def test_a_lack_of_memory_is_known_by_its_kind_or_its_words(error: Exception, tmp_path: Path) -> None:
    expected = "^out of memory: .+; to make it fit, set memory"
    with pytest.raises(OutOfMemory, match=expected), explain_memory_errors(RunFolder(tmp_path), ModelSettings()):
        raise error


def test_no_room_for_the_network_itself_is_told_before_a_run_begins_and_when_it_goes_on(
    settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnstableRun):
        start_run(settings, forces=classical_forces(_after_a_while(0.0, _nan_on_one_atom)))
    folder, forces = settings.run.output, classical_forces()
    assert folder is not None
    monkeypatch.setattr(forces, "create_system", lambda topology: _no_memory(np.zeros(0)))
    way_out = f"orbmm resume --force-new-settings {folder}"
    with pytest.raises(OutOfMemory, match="to make it fit, set memory") as caught:
        resume_run(folder, forces=forces)
    assert way_out in str(caught.value)
    elsewhere = override_settings(settings, {"run": {"output": folder.with_name("elsewhere")}})
    with pytest.raises(OutOfMemory, match=r'set memory = "lean".* and run again$'):
        start_run(elsewhere, forces=forces)
    assert not elsewhere.run.output.exists()


def test_any_other_error_is_no_lack_of_memory(tmp_path: Path) -> None:
    expected = "^shapes differ$"
    with pytest.raises(RuntimeError, match=expected), explain_memory_errors(RunFolder(tmp_path), ModelSettings()):
        raise RuntimeError("shapes differ")


def test_a_stopped_run_can_go_on_from_its_last_good_checkpoint(settings: Settings, classical_forces: Forces) -> None:
    with pytest.raises(UnstableRun):
        start_run(settings, forces=classical_forces(_after_a_while(0.0, _nan_on_one_atom)))
    folder = settings.run.output
    assert folder is not None and RunFolder(folder).read_reason() is not None
    assert resume_run(folder, forces=classical_forces()).finished
    assert RunFolder(folder).read_reason() is None and len(list(folder.glob("rescue/*/earlier-reason.txt"))) == 1


def _assert_only_good_data(folder: Path) -> None:
    trajectory = mdtraj.load(folder / "trajectory.xtc", top=folder / "topology.pdb")
    assert len(trajectory) >= 6
    assert np.isfinite(trajectory.xyz).all()
    assert "nan" not in (folder / "energies.csv").read_text()
    assert (folder / "checkpoints" / "step-000000000020").is_dir()
