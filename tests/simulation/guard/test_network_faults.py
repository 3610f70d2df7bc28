"""Faults of a network while the integrator runs: they occur inside the force, between two checks of the guard."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mdtraj
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from orbmm.cli.main import build_app
from orbmm.errors import ForceError, OutOfMemory, UnstableRun
from orbmm.forces import evaluator
from orbmm.forces.confidence import ConfidenceMeter
from orbmm.model.network.orb import Prediction
from orbmm.model.step import CheckedPrediction, is_finite
from orbmm.settings import Settings, override_settings, write_settings
from orbmm.simulation.run import resume_run, start_run

pytestmark = pytest.mark.filterwarnings("default")  # what torch and Warp warn of on loading is not ours
HEALTHY = 24
KINDS = ("TorchForce", "PythonForce")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """30 steps with the embedded network, of which the guard looks at every tenth and the forces go wrong before."""
    run = {"length_ps": 0.015, "frame_every_fs": 5.0, "table_every_fs": 5.0, "checkpoint_every_ps": 0.005}
    return override_settings(settings, {"run": run, "model": {"device": "cpu"}})


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Prediction], None]], None]:
    """Lets the running network give what is asked for at every structure but the first ones that it saw."""
    convert = evaluator._convert_finite

    def install(fault: Callable[[Prediction], None]) -> None:
        seen: set[float] = set()

        def read(found: CheckedPrediction) -> object:
            prediction = found.prediction
            energy = float(prediction.energy)
            if energy not in seen and len(seen) >= HEALTHY:
                fault(prediction)
            else:
                seen.add(energy)
            return convert(replace(found, is_finite=is_finite(prediction)))

        monkeypatch.setattr(evaluator, "_convert_finite", read)

    return install


def _nan(prediction: Prediction) -> None:
    prediction.forces[4, 1] = float("nan")


def _huge(prediction: Prediction) -> None:
    prediction.forces[4] += 1000.0


def _out_of_memory_on_a_gpu(prediction: Prediction) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def _out_of_memory_on_a_cpu(prediction: Prediction) -> None:
    torch.empty(10**14)


def _out_of_memory_in_numpy(prediction: Prediction) -> None:
    np.empty(10**15)


def _broken(prediction: Prediction) -> None:
    raise RuntimeError("a kernel could not be launched")


def _list_steps(folder: Path) -> list[float]:
    return np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)["step"].tolist()


@pytest.mark.parametrize("force", KINDS, indirect=True)
@pytest.mark.parametrize(
    "fault, expected",
    [
        (
            _nan,
            r"unstable at step 2[0-4] .*NaN or infinity for this structure.*; the last good frames and forces are in",
        ),
        (_huge, r"unstable at step 2[0-4] .*the force on atom 4 \(H1 of HOH 2\) is \d+ kJ/mol/nm, above the limit"),
    ],
    ids=["nan", "huge"],
)
def test_a_fault_inside_the_running_force_stops_the_run_before_it_is_written(
    force: str, fault: Callable, expected: str, settings: Settings, spoil: Callable
) -> None:
    settings = override_settings(settings, {"model": {"force": force}})
    spoil(fault)
    with pytest.raises(UnstableRun, match=expected) as caught:
        start_run(settings)
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)
    folder = settings.run.output
    assert folder is not None
    assert _list_steps(folder) == [0, 10, 20]
    frames = mdtraj.load(folder / "trajectory.xtc", top=folder / "topology.pdb")
    assert len(frames) == 3 and np.isfinite(frames.xyz).all()
    assert list((folder / "rescue").glob("step-*/good-*.pdb"))


@pytest.mark.parametrize("force", KINDS, indirect=True)
@pytest.mark.parametrize("fault", [_out_of_memory_on_a_gpu, _out_of_memory_on_a_cpu, _out_of_memory_in_numpy])
def test_out_of_memory_inside_the_running_force_names_what_would_fit(
    force: str, fault: Callable, settings: Settings, spoil: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = override_settings(settings, {"model": {"force": force}})
    spoil(fault)
    with pytest.raises(
        OutOfMemory, match=r"after step 2\d: .*; the last good checkpoint is kept; to make it fit, "
    ) as caught:
        start_run(settings)
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)
    monkeypatch.undo()
    assert settings.run.output is not None
    assert resume_run(settings.run.output).finished
    assert _list_steps(settings.run.output) == [0, 10, 20, 30]


def test_the_command_line_tells_the_way_out_of_a_lack_of_memory_and_that_way_works(
    settings: Settings, spoil: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.run.output
    assert folder is not None
    write_settings(settings, tmp_path / "system.toml")
    spoil(_out_of_memory_on_a_gpu)
    stopped = CliRunner().invoke(build_app(), ["run", str(tmp_path / "system.toml")])
    assert stopped.exit_code == 3, stopped.output
    (line,) = stopped.stderr.splitlines()
    assert line.startswith("error: out of memory after step 2") and "the last good checkpoint is kept" in line
    assert f'set memory = "lean", which gives the same forces more slowly, in [model] of {folder}/settings.toml' in line
    monkeypatch.undo()
    written = (folder / "settings.toml").read_text()
    assert 'memory = "auto"' in written
    (folder / "settings.toml").write_text(written.replace('memory = "auto"', 'memory = "lean"'))
    advised = line.split("`orbmm ")[1].rstrip("`").split()
    resumed = CliRunner().invoke(build_app(), [*advised, "--no-analyze"])
    assert resumed.exit_code == 0, resumed.output
    assert _list_steps(folder) == [0, 10, 20, 30]
    (change,) = json.loads((folder / "run.json").read_text())["changed"]
    assert change["changes"] == {"model.memory": "'auto' -> 'lean'"}


def test_a_lack_of_memory_outside_the_force_is_told_alike(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConfidenceMeter, "measure", lambda self, positions, box: torch.empty(10**14))
    with pytest.raises(OutOfMemory, match="can't allocate memory.*; to make it fit, set memory = "):
        start_run(settings)


@pytest.mark.parametrize("force", KINDS, indirect=True)
def test_any_other_failure_of_the_force_is_told_with_its_step(force: str, settings: Settings, spoil: Callable) -> None:
    spoil(_broken)
    with pytest.raises(ForceError, match=r"the force failed after step 2\d: a kernel could not be launched"):
        start_run(override_settings(settings, {"model": {"force": force}}))


def test_a_network_that_is_left_alone_comes_to_the_end(settings: Settings, spoil: Callable) -> None:
    spoil(lambda prediction: None)
    assert start_run(settings).finished
