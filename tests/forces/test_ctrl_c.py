"""What docs/python.md says of Ctrl-C in a plain script: what is raised, and that the Context can go on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import openmm
import pytest

from orbmm.forces.attach import create_system
from orbmm.forces.evaluator import AtomForces
from orbmm.settings.model import ModelSettings

MODEL = "orb-mini-direct-inf-xtb"
STEPS, PRESSED_AT = 6, 4  # the evaluation during which Ctrl-C is pressed
ROUNDING = 1e-12  # nm: the motion of the centre of mass is removed again in the step that is repeated


@pytest.fixture
def model(random_weights: Callable[[str], Path], kind: str) -> ModelSettings:
    return ModelSettings(MODEL, weights=random_weights(MODEL), precision="float64", device="cpu", force=kind)


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Sends SIGINT during one of the next evaluations of the network, with the handler of a plain script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    evaluate, left = AtomForces.evaluate, [0]

    def evaluate_pressed(self: AtomForces, *given: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, *given)

    monkeypatch.setattr(AtomForces, "evaluate", evaluate_pressed)
    yield lambda: left.__setitem__(0, PRESSED_AT)
    signal.signal(signal.SIGINT, before)


def begin(water, model: ModelSettings, integrator: openmm.Integrator) -> openmm.Context:
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(create_system(water.topology, model), integrator, platform)
    context.setPositions(water.positions)
    context.setVelocitiesToTemperature(300.0, 7)
    return context


def make_verlet() -> openmm.Integrator:
    return openmm.VerletIntegrator(0.0002)


def make_langevin() -> openmm.Integrator:
    """Without friction, because random numbers would differ after a step that was begun twice."""
    return openmm.LangevinMiddleIntegrator(0.0, 0.0, 0.0002)


def make_half_kicks() -> openmm.Integrator:
    """Velocity Verlet, whose velocities change before the forces are computed."""
    integrator = openmm.CustomIntegrator(0.0002)
    integrator.addComputePerDof("v", "v + 0.5*dt*f/m")
    integrator.addComputePerDof("x", "x + dt*v")
    integrator.addComputePerDof("v", "v + 0.5*dt*f/m")
    return integrator


def end_after_ctrl_c(make: Callable[[], openmm.Integrator], water, model: ModelSettings, press) -> np.ndarray:
    """Positions [nm] after a run that was interrupted, checked, and taken up again."""
    context = begin(water, model, make())
    press()
    with pytest.raises(openmm.OpenMMException) as raised:
        context.getIntegrator().step(STEPS)
    assert ("KeyboardInterrupt" in str(raised.value)) == (model.force == "TorchForce")
    done = context.getStepCount()
    assert 0 < done < STEPS
    context.getIntegrator().step(STEPS - done)
    return read_positions(context)


def end_undisturbed(make: Callable[[], openmm.Integrator], water, model: ModelSettings) -> np.ndarray:
    context = begin(water, model, make())
    context.getIntegrator().step(STEPS)
    return read_positions(context)


def read_positions(context: openmm.Context) -> np.ndarray:
    return np.array(context.getState(positions=True).getPositions(asNumpy=True)._value)


@pytest.mark.parametrize("make", [make_verlet, make_langevin])
def test_after_ctrl_c_the_context_goes_on_from_the_last_whole_step(make, make_water, model, press) -> None:
    water = make_water("cube")
    found = end_after_ctrl_c(make, water, model, press)
    np.testing.assert_allclose(found, end_undisturbed(make, water, model), rtol=0, atol=ROUNDING)


def test_within_the_step_of_a_custom_integrator_it_does_not(make_water, model, press) -> None:
    water = make_water("cube")
    found = end_after_ctrl_c(make_half_kicks, water, model, press)
    assert np.abs(found - end_undisturbed(make_half_kicks, water, model)).max() > 1e6 * ROUNDING
