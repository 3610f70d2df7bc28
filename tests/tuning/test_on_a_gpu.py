"""A GPU is measured at its first contact, here on a stand-in whose times are made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from openmm import app
from oracles.stand_in_gpu.device import stand_in_gpu
from tuning.conftest import DIRECT, make_case

from orbmm.first_contact import case as case_module
from orbmm.first_contact.compare import Answers
from orbmm.first_contact.record import list_contacts
from orbmm.forces import tuned
from orbmm.forces.attach import create_system, describe_force
from orbmm.forces.evaluator_cache import forget_evaluators
from orbmm.forces.resolve import resolve_model
from orbmm.model.inference.execution import Execution
from orbmm.settings import ModelSettings
from orbmm.tuning.measure import Opened
from orbmm.tuning.record import Record

GPU = ModelSettings(DIRECT, device="cuda", force="PythonForce")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(case_module, "SITES_PER_EDGE", 3)
    with stand_in_gpu():
        yield
        forget_evaluators()


def recorded_is_faster(execution: Execution) -> float:
    return (0.1 if execution.cuda_graphs else 0.2) + 1e-7 * (execution.edges_per_block or 0)


def describe(water: app.Modeller, **model: object) -> Execution:
    return describe_force(water.topology, dataclasses.replace(GPU, **model), None, True).execution


def read(model: ModelSettings = GPU) -> Record | None:
    return tuned.read_record(tuned.describe_situation(resolve_model(model), make_case(18)))


def test_create_system_measures_once_and_takes_the_recorded_step(gpu, water: app.Modeller, fake_times) -> None:
    measured = fake_times(recorded_is_faster)
    create_system(water.topology, GPU)
    (contact,) = list_contacts()
    assert contact.meeting.options["cuda_graphs"] is True and contact.meeting.options["kernels"] == "torch"
    count = len(measured)
    assert describe(water) == Execution(kernels="torch", cuda_graphs=True) and len(measured) == count
    record = read()
    assert record is not None and record.varied == ("kernels", "cuda_graphs", "edges_per_block")
    blocks = [row.execution.edges_per_block for row in record.rows[-3:]]
    assert blocks == [131_072, 65_536, 32_768] and all(row.execution.cuda_graphs for row in record.rows[-3:])


def test_kernels_that_cannot_run_here_are_left_out_with_a_reason(gpu, water: app.Modeller, fake_times) -> None:
    fake_times(recorded_is_faster)
    describe(water, precision="float64")
    record = read(dataclasses.replace(GPU, precision="float64"))
    assert record is not None
    faults = {row.execution.kernels: row.fault for row in record.rows}
    assert faults["torch"] is None and "kernels" in faults["fused"]


def test_a_recorded_step_that_answers_for_other_coordinates_is_not_taken(
    gpu, water: app.Modeller, fake_times, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_times(recorded_is_faster)
    opens = tuned.ForceDoors.open

    def open_stale(doors: tuned.ForceDoors, execution: Execution) -> Opened:
        opened = opens(doors, execution)
        if not execution.cuda_graphs:
            return opened

        def evaluate() -> Answers:
            answers = opened.evaluate()
            return dataclasses.replace(answers, forces=np.roll(answers.forces, 1, axis=1))

        return Opened(opened.potential, evaluate)

    monkeypatch.setattr(tuned.ForceDoors, "open", open_stale)
    assert describe(water).cuda_graphs is False


@pytest.mark.parametrize(
    "decided", [{"cuda_graphs": False}, {"kernels": "torch", "cuda_graphs": False, "edges_per_block": 1024}]
)
def test_what_the_user_decided_is_not_measured(
    decided: dict[str, object], gpu, water: app.Modeller, fake_times
) -> None:
    measured = fake_times(recorded_is_faster)
    found = describe(water, **decided)
    assert found.cuda_graphs is False and not any(each.cuda_graphs for each in measured)
    assert (measured == []) == (len(decided) == 3)


@pytest.mark.parametrize("choice", [{"first_contact": "skip"}, {"tune": "skip"}])
def test_skip_measures_nothing(choice: dict[str, str], gpu, water: app.Modeller, fake_times) -> None:
    measured = fake_times(recorded_is_faster)
    assert describe(water, **choice) == Execution() and measured == []


def test_before_openmm_has_chosen_among_several_gpus_nothing_is_measured(
    water: app.Modeller, fake_times, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = fake_times(recorded_is_faster)
    with stand_in_gpu(devices=2):
        model = dataclasses.replace(resolve_model(GPU), device=torch.device("cuda"))
        assert tuned.tune_execution(model, [8, 1, 1] * 6, True, water.topology) == Execution()
    assert measured == []


@pytest.mark.gpu
def test_a_gpu_takes_a_way_whose_forces_are_those_of_the_plain_network(water: app.Modeller) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    found = describe(water)
    record = read()
    assert record is not None
    row = next(row for row in record.rows if row.execution == found)
    assert row.fault is None and row.evaluation_s <= 1.05 * min(each.evaluation_s for each in record.rows)
    assert record.rows[0].fault is None, "the plain network passes on every GPU"
    case = case_module.build_lattice(np.array([8, 1, 1] * 6), np.eye(3) * 6.2)
    doors = tuned.ForceDoors(resolve_model(GPU), case)
    plain, taken = (doors.open(each).evaluate().forces for each in (Execution(kernels="torch"), found))
    assert np.abs(plain - taken).max() < 0.05 * np.sqrt((plain**2).mean())  # TF32 on both sides
