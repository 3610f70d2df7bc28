"""Runs, createSystem and `orbmm benchmark --tune` take what was measured, and nothing where the user has decided."""

from __future__ import annotations

import dataclasses
import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from openmm import app
from tuning.conftest import CPU, DIRECT, LONG, SHORT, make_case
from typer.testing import CliRunner

from orbmm.cli.main import build_app
from orbmm.errors import RunError, StructureError
from orbmm.first_contact import case as case_module
from orbmm.forces import tuned
from orbmm.forces.attach import describe_force
from orbmm.forces.description import ForceDescription
from orbmm.model.inference.execution import Execution
from orbmm.settings import ModelSettings, Settings, override_settings, read_settings
from orbmm.simulation.folder.changes import ResumeRequest
from orbmm.simulation.run import resume_run, start_run
from orbmm.simulation.start.structure import read_start
from orbmm.tuning.candidates import THREADS_VARIABLE
from orbmm.tuning.record import Record, Row, find_path, keep_record


@pytest.fixture(autouse=True)
def small_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_module, "SITES_PER_EDGE", 3)


def keep(model: ModelSettings, atoms: int, *rows: Row, varied: tuple[str, ...] = ("threads",)) -> Path:
    """Keep rows as if they had been measured here."""
    resolved = tuned.resolve_for_run(model, atoms, None)
    record = Record(tuned.describe_situation(resolved, make_case(atoms)), varied, rows)
    keep_record(record)
    return find_path(record.situation)


def row(seconds: float, **execution: object) -> Row:
    return Row(Execution(**execution), seconds, seconds, 1.0)


def decide(water: app.Modeller, positions: np.ndarray, steps: int = LONG, **model: object) -> ModelSettings:
    return tuned.tune_for_run(dataclasses.replace(CPU, **model), water.topology, positions, steps)


def test_a_long_run_measures_the_threads_once_and_tells(
    water: app.Modeller, positions: np.ndarray, fake_times, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    measured = fake_times(lambda execution: 0.02 * execution.threads)
    first = decide(water, positions)
    assert [each.threads for each in measured] == [2, 1]
    assert first == dataclasses.replace(CPU, threads=1)
    assert "as measured: threads = 1 takes 20 ms an evaluation, threads = 2 takes 40 ms" in caplog.text
    assert decide(water, positions) == first and len(measured) == 2


def test_an_atom_without_an_element_is_named() -> None:
    topology = app.Topology()
    residue = topology.addResidue("HOH", topology.addChain())
    topology.addAtom("O", app.Element.getByAtomicNumber(8), residue)
    topology.addAtom("EP", None, residue)
    with pytest.raises(StructureError, match=r"atom 1 \(EP\) has no element"):
        tuned.read_case(topology, np.zeros((2, 3)), CPU)


def test_a_short_run_loads_nothing_and_decides_nothing(
    water: app.Modeller, positions: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned, "load_model", lambda *_: pytest.fail("a network was loaded"))
    assert decide(water, positions, SHORT) == CPU


def test_a_short_run_takes_what_was_measured_before(water: app.Modeller, positions: np.ndarray) -> None:
    keep(CPU, 18, row(0.2, threads=2), row(0.1, threads=1))
    assert decide(water, positions, SHORT).threads == 1
    assert decide(water, positions, SHORT, tune="skip") == dataclasses.replace(CPU, tune="skip")


@pytest.mark.parametrize("decided", [{"threads": 3}, {"threads": 2}])
def test_the_users_threads_win(decided: dict[str, int], water: app.Modeller, positions: np.ndarray, fake_times) -> None:
    measured = fake_times(lambda execution: 0.02 * (execution.threads or 1))
    keep(CPU, 18, row(0.2, threads=2), row(0.1, threads=1))
    assert decide(water, positions, **decided) == dataclasses.replace(CPU, **decided)
    assert measured == []


def test_the_users_threads_in_the_environment_win(
    water: app.Modeller, positions: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(CPU, 18, row(0.2, threads=2), row(0.1, threads=1))
    monkeypatch.setenv(THREADS_VARIABLE, "1")
    assert decide(water, positions) == CPU


def test_the_users_memory_is_kept_and_measured_apart(water: app.Modeller, positions: np.ndarray, fake_times) -> None:
    keep(CPU, 18, row(0.2, threads=2), row(0.1, threads=1))
    measured = fake_times(lambda execution: 0.02 / execution.threads)
    assert decide(water, positions, memory="lean") == dataclasses.replace(CPU, memory="lean", threads=2)
    assert {each.memory for each in measured} == {"lean"}


def test_a_run_does_not_compile_each_candidate(
    water: app.Modeller, positions: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned, "measure_now", lambda *_, **__: pytest.fail("something was measured"))
    for check in ("find_compiler", "has_python_headers", "has_temporary_room"):
        monkeypatch.setattr(f"orbmm.model.compiled.{check}", lambda: "there")
    assert decide(water, positions, compile=True) == dataclasses.replace(CPU, compile=True)


def test_a_torn_file_is_measured_anew(
    water: app.Modeller, positions: np.ndarray, fake_times, caplog: pytest.LogCaptureFixture
) -> None:
    path = keep(CPU, 18, row(0.2, threads=2), row(0.1, threads=1))
    path.write_text(path.read_text("utf-8")[:100], encoding="utf-8")
    measured = fake_times(lambda execution: 0.02 / execution.threads)
    assert decide(water, positions).threads == 2 and len(measured) == 2
    assert "it is not used" in caplog.text


def test_a_measurement_that_nothing_passed_is_made_again(
    water: app.Modeller, positions: np.ndarray, fake_times
) -> None:
    def run_out_of_memory(execution: Execution) -> float:
        raise MemoryError

    fake_times(run_out_of_memory)
    assert decide(water, positions) == CPU
    measured = fake_times(lambda execution: 0.02 * execution.threads)
    assert decide(water, positions).threads == 1 and {each.threads for each in measured} == {1, 2}


def test_a_cache_that_cannot_be_written_does_not_stop_a_run(
    water: app.Modeller, positions: np.ndarray, fake_times, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "file"))
    measured = fake_times(lambda execution: 0.02 * execution.threads)
    assert [decide(water, positions).threads for _ in range(2)] == [1, 1] and len(measured) == 4


def test_a_compiled_row_needs_its_compiler_and_enough_steps(
    water: app.Modeller, positions: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = row(0.2, threads=1), row(0.1, threads=1, compile=True)
    keep(CPU, 18, *rows, varied=("threads", "compile"))
    monkeypatch.setattr("orbmm.model.compiled.find_compiler", lambda: "g++")
    monkeypatch.setattr("orbmm.model.compiled.has_python_headers", lambda: True)
    monkeypatch.setattr("orbmm.model.compiled.has_temporary_room", lambda: True)
    assert [decide(water, positions, steps).compile for steps in (5, 100)] == [False, True]
    monkeypatch.setattr("orbmm.model.compiled.find_compiler", lambda: None)
    assert decide(water, positions, 100) == dataclasses.replace(CPU, threads=1, compile=False)


def test_create_system_takes_what_was_measured_into_its_description(water: app.Modeller) -> None:
    def describe(**model: object) -> ForceDescription:
        return describe_force(water.topology, dataclasses.replace(CPU, **model), None, True)

    assert describe().execution == Execution()
    keep(CPU, 18, row(0.2, threads=2), row(0.1, threads=1))
    found = describe()
    assert found.execution == Execution(threads=1)
    assert ForceDescription.from_json(found.to_json()) == found
    assert describe(tune="skip").execution == Execution()
    assert describe(threads=2).execution == Execution(threads=2)


@pytest.fixture
def settings(repository: Path, tmp_path: Path) -> Settings:
    """Four steps of a box of water."""
    read = read_settings(repository / "systems" / "water" / "system.toml")
    run = {"output": tmp_path / "run", "length_ps": 0.002, "timestep_fs": 0.5, "minimize": False}
    run |= {"frame_every_fs": 0.5, "table_every_fs": 0.5, "checkpoint_every_ps": 0.001, "confidence_every_fs": 0.0}
    return override_settings(read, {"run": run, "model": {"name": DIRECT, "device": "cpu", "force": "PythonForce"}})


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The threads that each evaluation asks for, and does not get: two on a busy machine take long."""
    found: list[int | None] = []

    def note(count: int | None) -> AbstractContextManager[None]:
        found.append(count)
        return nullcontext()

    monkeypatch.setattr("orbmm.forces.evaluator.in_threads", note)
    monkeypatch.setattr("orbmm.model.potential.in_threads", note)
    return found


def test_a_resumed_run_keeps_what_it_began_with(settings: Settings, seen: list[int | None]) -> None:
    atoms = read_start(settings.system).topology.getNumAtoms()
    path = keep(settings.model, atoms, row(0.2, threads=1), row(0.1, threads=2))
    folder = start_run(settings).folder
    assert read_settings(folder / "settings.toml").model.threads == 2 and set(seen) == {2}
    path.unlink()
    keep(settings.model, atoms, row(0.1, threads=1), row(0.2, threads=2))
    seen.clear()
    resume_run(folder, request=ResumeRequest(extend_ps=0.001))
    assert read_settings(folder / "settings.toml").model.threads == 2 and set(seen) == {2}
    text = (folder / "settings.toml").read_text("utf-8")
    (folder / "settings.toml").write_text(text.replace("threads = 2", "threads = 1"), encoding="utf-8")
    with pytest.raises(RunError, match="model.threads: 2 -> 1"):
        resume_run(folder)


def test_the_command_prints_a_table_and_keeps_the_choice(
    repository: Path, fake_times, water: app.Modeller, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = fake_times(lambda execution: 0.02 * (0.5 if execution.compile else execution.threads))
    monkeypatch.setattr("orbmm.tuning.candidates.sys.platform", "another system")  # so nothing is compiled
    system = repository / "systems" / "water" / "system.toml"
    result = CliRunner().invoke(build_app(), ["benchmark", "--tune", str(system)])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[1].split() == ["candidate", "ms", "CPU", "ms", "first", "s", "answers"]
    assert [line.split()[-5:] for line in lines[2:4]] == [
        ["2", "40.0", "80.0", "30.0", "pass"],
        ["1", "20.0", "40.0", "30.0", "pass"],
    ]
    assert "as measured: threads = 1 takes 20 ms" in lines[4] and lines[5].startswith("kept in")
    assert len(measured) == 2


@pytest.mark.parametrize(
    "options, told",
    [
        (["--threads", "2"], "leave out --threads"),
        (["--model", DIRECT, "--model", DIRECT], "--tune takes one --model"),
        (["systems/water/system.toml", "--model", DIRECT], "measures the model of SYSTEM.toml: leave out --model"),
    ],
)
def test_options_that_tune_does_not_read_are_refused(options: list[str], told: str) -> None:
    result = CliRunner().invoke(build_app(), ["benchmark", "--tune", *options])
    assert result.exit_code != 0 and told in str(result.exception) + result.output


@pytest.mark.parametrize("error", [StructureError("NaN"), MemoryError(), RuntimeError("a kernel failed\nin detail")])
def test_a_failure_of_the_plain_network_is_left_to_the_run(
    error: Exception,
    water: app.Modeller,
    positions: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(tuned, "load_model", fail)
    assert decide(water, positions) == CPU
    assert "nothing could be measured" in caplog.text and "\n" not in caplog.messages[0]


def test_the_lattice_has_the_atoms_and_the_density_of_a_liquid() -> None:
    numbers, cell = np.resize([8, 1, 1], 300), 14.4 * np.eye(3)  # 100 waters at 0.997 g/cm3
    found = case_module.build_lattice(numbers, cell)
    vectors = found.frames[0][:, None] - found.frames[0]
    vectors -= cell[0, 0] * np.round(vectors / cell[0, 0])
    distances = np.linalg.norm(vectors, axis=-1)[~np.eye(300, dtype=bool)]
    assert (found.atomic_numbers == numbers).all() and distances.min() > 1.0
    assert (distances < 6.0).sum() / 300 == pytest.approx(300 / 14.4**3 * 4 / 3 * np.pi * 6.0**3, rel=0.15)
    alone = case_module.build_lattice(numbers[:9], 100.0 * np.eye(3)).frames[0]
    assert np.ptp(alone, axis=0).max() < 10.0, "few atoms in much room stay together"
