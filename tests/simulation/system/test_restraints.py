"""Restraints hold what they name, with the force that they state, and leave alone what they do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import mdtraj
import numpy as np
import openmm
import pytest

from orbmm.errors import RunError
from orbmm.settings import RestraintSettings, Settings, StageSettings
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.run import start_run
from orbmm.simulation.start.structure import Structure, read_start
from orbmm.simulation.system.restraints import make_restraint

Forces = Callable[..., ForceSource]
PAIR = ("A:1:O", "A:2:O")


@pytest.fixture
def start(settings: Settings) -> Structure:
    """15 waters in a cube."""
    return read_start(settings.system)


def _evaluate(restraint: RestraintSettings, start: Structure, positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy [kJ/mol] and forces (N, 3) [kJ/mol/nm] of one restraint alone."""
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*start.topology.getPeriodicBoxVectors())
    for _ in range(len(positions)):
        system.addParticle(1.0)
    system.addForce(make_restraint(restraint, start))
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    return state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value


@pytest.mark.parametrize("free_nm", [None, 0.1])
def test_a_position_is_held_where_it_was(free_nm: float | None, start: Structure) -> None:
    restraint = RestraintSettings(kind="position", atoms="name O", distance_nm=free_nm, stiffness_kj_mol_nm2=500.0)
    energy, forces = _evaluate(restraint, start, start.positions)
    assert energy == pytest.approx(0.0, abs=1e-9) and np.abs(forces).max() < 1e-9
    moved = start.positions.copy()
    moved[[0, 1]] += [0.3, 0.0, 0.0]  # an oxygen, and a hydrogen that nobody holds
    energy, forces = _evaluate(restraint, start, moved)
    stretch = 0.3 - (free_nm or 0.0)
    assert energy == pytest.approx(250.0 * stretch**2, rel=1e-6)
    assert forces[0] == pytest.approx([-500.0 * stretch, 0.0, 0.0], rel=1e-6)
    assert np.abs(forces[1:]).max() < 1e-9


def test_an_atom_that_left_through_a_face_of_the_box_is_not_pulled(start: Structure) -> None:
    restraint = RestraintSettings(kind="position", atoms="all")
    edge = start.topology.getPeriodicBoxVectors()[0][0]._value
    energy, _ = _evaluate(restraint, start, start.positions + [edge, 0.0, 0.0])
    assert energy == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind, pulls_when_near", [("distance", True), ("cap", False)])
def test_a_pair_is_held_and_a_cap_only_pulls_together(kind: str, pulls_when_near: bool, start: Structure) -> None:
    restraint = RestraintSettings(kind=kind, between=PAIR, distance_nm=0.3, stiffness_kj_mol_nm2=200.0)
    positions = start.positions.copy()
    for distance, pulls in ((0.35, True), (0.25, pulls_when_near)):
        positions[3] = positions[0] + [distance, 0.0, 0.0]  # the oxygen of the second water
        energy, forces = _evaluate(restraint, start, positions)
        assert energy == pytest.approx(100.0 * 0.05**2 if pulls else 0.0, abs=1e-9)
        assert forces[3, 0] == pytest.approx(200.0 * (0.3 - distance) if pulls else 0.0, abs=1e-9)


def test_a_distance_without_a_number_is_that_of_the_start(start: Structure) -> None:
    energy, _ = _evaluate(RestraintSettings(kind="distance", between=PAIR), start, start.positions)
    assert energy == pytest.approx(0.0, abs=1e-12)


def test_restraints_act_in_their_stage_alone(settings: Settings, classical_forces: Forces) -> None:
    hold = RestraintSettings(kind="position", atoms="water", stiffness_kj_mol_nm2=1e6)
    stages = (
        StageSettings(kind="equilibrate", length_ps=0.05, restraint=(hold,)),
        StageSettings(kind="produce", length_ps=0.05),
    )
    folder = start_run(dataclasses.replace(settings, stage=stages), forces=classical_forces()).folder
    frames = mdtraj.load(folder / "trajectory.xtc", top=folder / "topology.pdb")
    start = read_start(settings.system).positions
    moved = [float(np.linalg.norm(frames.xyz[index] - start, axis=1).mean()) for index in (0, -1)]
    assert moved[0] < 0.01 < moved[1]


@pytest.mark.parametrize(
    "restraint, expected",
    [
        (RestraintSettings(kind="position", atoms="protein"), "chooses no atom"),
        (RestraintSettings(kind="position", atoms="name of (the rose"), "cannot be read"),
        (RestraintSettings(kind="distance", between=("A:1:O", "A:99:O")), "no atoms are called A:99:O"),
    ],
    ids=["protein", "rose", "A:99:O"],
)
def test_atoms_that_are_not_there_are_named_before_the_first_step(
    restraint: RestraintSettings, expected: str, settings: Settings, classical_forces: Forces
) -> None:
    first = StageSettings(kind="equilibrate", length_ps=0.03)
    last = StageSettings(kind="produce", length_ps=0.03, restraint=(restraint,))
    with pytest.raises(RunError, match=expected):
        start_run(dataclasses.replace(settings, stage=(first, last)), forces=classical_forces())
    assert settings.run.output is not None and not settings.run.output.exists()  # told before the first step
