"""A benchmark really runs: numbers for what fits, a reason for what does not, and the official package beside ours."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from oracles.orb_models_reference import require_orb_models
from torch.profiler import record_function
from typer.testing import CliRunner

from orbmm.benchmark.cases import Case, Job, build_water
from orbmm.benchmark.machine import describe_machine
from orbmm.benchmark.measure import answer_job, measure, measure_stages, measure_step_stages, time_steps
from orbmm.benchmark.peer import check_peer, run_against_peer
from orbmm.benchmark.report import format_row, write_report
from orbmm.benchmark.run import KEEP_FREED_MEMORY, Plan, compare_forces, list_ways, measure_apart, run_apart, run_plan
from orbmm.cli.benchmark import say_row
from orbmm.cli.main import build_app
from orbmm.errors import ModelError, SettingsError
from orbmm.model.inference.allocator import KEEP_BYTES
from orbmm.model.inference.execution import Execution
from orbmm.model.load import load_model

SMALL = Case("water-30", water_atoms=30)
MINI = "orb-mini-direct-inf-xtb"
PLAN = Plan((SMALL,), (MINI,), ("float32-highest",), ("PythonForce",), "", "cpu", 1, 2, 2, 300.0)
JOB = Job("atoms.npz", MINI, "", "float32-highest", "cpu", 1, 1, 0, "")
SAME_GRADIENTS_MEV_PER_ANGSTROM = 0.1  # of forces near 2,000 meV/Å that went through the network twice
SAME_FORCES_MEV_PER_ANGSTROM = 0.02  # 250 units of float32 rounding of the largest force, near 700 meV/Å


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """One case that fits, one without its file."""
    cases = (SMALL, Case("gone", structure=Path("gone.pdb")))
    return run_plan(dataclasses.replace(PLAN, cases=cases), lambda row: None)


def test_a_row_holds_times_steps_and_memory(rows: list[dict]) -> None:
    row = rows[0]
    assert (row["case"], row["atoms"], row["model"], row["force"]) == ("water-30", 30, MINI, "PythonForce")
    assert 0 < row["graph_s"]
    assert 0 < row["network_s"]
    assert row["ns_per_day"] == pytest.approx(86400 / row["step_s"] * 0.5e-6)
    assert row["host_mb"] > 50
    assert row["edges"] > 30
    assert sum(row["stages"].values()) == pytest.approx(1.0)
    assert list(row["stages"]) == ["graph", "edge features", "layer 1", "layer 2", "layer 3", "heads"]
    least, greatest = row["evaluation_range_s"]
    assert 0 < least <= row["evaluation_s"] <= greatest
    assert (row["evaluations"], row["steps"]) == (2, 2)


def test_a_row_with_a_force_says_what_openmm_takes_of_a_step(
    rows: list[dict], capsys: pytest.CaptureFixture[str]
) -> None:
    shares = rows[0]["step_stages"]
    assert {"edge features", "layer 1", "layer 2", "layer 3", "heads"} <= shares.keys()
    assert list(shares)[-1].endswith("transfer and integration")
    assert all(0 < share < 1 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(1.0)
    assert "\n  a step: " in format_row(rows[0])
    capsys.readouterr()
    say_row(rows[0])
    assert capsys.readouterr().out.splitlines() == format_row(rows[0]).split("\n"), "each on a line of its own"
    assert "transfer and integration" not in rows[0]["stages"]


@pytest.mark.parametrize(
    ("name", "rest"), [("graph", "transfer and integration"), ("heads", "graph with transfer and integration")]
)
def test_what_no_part_is_named_for_is_the_rest(name: str, rest: str) -> None:
    def work() -> None:
        with record_function(f"orbmm: {name}"):
            time.sleep(0.02)
        time.sleep(0.06)

    shares = measure_step_stages(work, torch.device("cpu"))
    assert list(shares) == [name, rest]
    assert 0.4 < shares[rest] < 0.9
    assert measure_step_stages(lambda: time.sleep(0.01), torch.device("cpu")) == {}


# Asks for 64 MB twenty times and frees it each time; writes how many pages the kernel had to fill in the second half.
CHURN = """
import resource, sys
import numpy as np
for turn in range(20):
    if turn == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(8_000_000)
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc reads these variables")
def test_a_measuring_process_keeps_freed_memory_as_a_run_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def count_page_faults(variables: dict[str, str]) -> int:
        command = [sys.executable, "-c", CHURN, os.fspath(tmp_path / "faults")]
        assert run_apart(command, 1, 60.0, variables) is None
        return int((tmp_path / "faults").read_text())

    assert 10 * count_page_faults(KEEP_FREED_MEMORY) < count_page_faults({})
    assert {str(KEEP_BYTES)} == set(KEEP_FREED_MEMORY.values())
    given: list[object] = []
    monkeypatch.setattr("orbmm.benchmark.run.run_apart", lambda *arguments: given.append(arguments[-1]) or "enough")
    assert measure_apart(JOB, tmp_path, 60.0) == {"skipped": "enough"}
    assert given == [KEEP_FREED_MEMORY]


@pytest.mark.parametrize(("found", "limited"), [("cuda", 0), ("cuda:0", 0), ("cpu", 1)])
def test_host_memory_is_limited_where_the_network_runs_on_a_cpu(
    found: str, limited: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[None] = []
    monkeypatch.setattr("orbmm.benchmark.measure.find_device", lambda name: torch.device(found))
    monkeypatch.setattr("orbmm.benchmark.measure.limit_to_free_memory", lambda: calls.append(None))
    monkeypatch.setattr("orbmm.benchmark.measure.measure", lambda *_: {"edges": 1})
    dataclasses.replace(JOB, device="auto").write(tmp_path / "job.json")
    assert answer_job(tmp_path / "job.json", tmp_path) == {"edges": 1}
    assert len(calls) == limited


def test_a_device_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    dataclasses.replace(JOB, device="cuda:99").write(tmp_path / "job.json")
    assert "cuda:99" in answer_job(tmp_path / "job.json", tmp_path)["skipped"]


def test_a_case_without_its_file_is_skipped_with_the_reason(rows: list[dict]) -> None:
    assert "--structures" in rows[1]["skipped"]
    assert "evaluation_s" not in rows[1]


def test_a_case_that_would_take_too_long_is_skipped_unmeasured(rows: list[dict], monkeypatch) -> None:
    plan = dataclasses.replace(PLAN, limit_s=1e-3)
    monkeypatch.setattr("orbmm.benchmark.run.measure_apart", lambda *_: rows[0])
    larger = dataclasses.replace(plan, cases=(SMALL, Case("water-60", water_atoms=60)))
    skipped = run_plan(larger, lambda row: None)[1]
    assert "as water-30 tells" in skipped["skipped"]
    patient = dataclasses.replace(larger, limit_s=1e6)
    assert "skipped" not in run_plan(patient, lambda row: None)[1]


def test_weights_that_would_have_to_be_downloaded_are_a_reason(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path))
    plan = dataclasses.replace(PLAN, models=("orb-v3-direct-inf-omat",))
    (row,) = run_plan(plan, lambda row: None)
    assert "--random-weights" in row["skipped"]


def test_what_the_process_says_last_is_the_reason() -> None:
    (row,) = run_plan(dataclasses.replace(PLAN, weights="nowhere.ckpt"), lambda row: None)
    assert "nowhere.ckpt" in row["skipped"]


def test_the_report_is_a_table_numbers_and_a_picture(rows: list[dict], tmp_path: Path) -> None:
    assert "skipped" in format_row(rows[1])
    assert "PythonForce" in format_row(rows[0])
    numbers, picture = write_report(rows, describe_machine(), tmp_path)
    read = json.loads(numbers.read_text())
    assert read["rows"] == rows
    assert read["versions"]["openmm"]
    assert picture.stat().st_size > 1000
    assert write_report(rows[1:], {}, tmp_path) == [numbers]


@pytest.mark.slow
def test_orb_models_computes_the_same_forces_from_the_same_weights(monkeypatch) -> None:
    require_orb_models()
    plan = dataclasses.replace(PLAN, models=("orb-v3-direct-inf-omat",), evaluations=1)
    (row,) = run_against_peer(plan, None, lambda row: None)
    assert row["largest_force_mev_per_angstrom"] > 100
    assert row["largest_difference_mev_per_angstrom"] < SAME_FORCES_MEV_PER_ANGSTROM
    assert row["speed_ratio"] > 0
    assert math.isfinite(row["memory_ratio"])
    assert row["evaluations"] == row["peer"]["evaluations"] == 1
    assert row["peer"]["evaluation_range_s"] == [row["peer"]["evaluation_s"]] * 2
    assert "orb-models 0.5.5" in format_row(row) and "s in 1 evaluation" in format_row(row)


@pytest.mark.slow
def test_a_conservative_model_has_a_row_for_each_mode_of_memory_held_against_float64() -> None:
    require_orb_models()
    plan = dataclasses.replace(
        PLAN,
        models=("orb-v3-conservative-20-omat",),
        evaluations=1,
        memories=("fast", "lean"),
        precisions=("bfloat16",),
    )
    rows = run_against_peer(plan, None, lambda row: None)
    assert [row["memory"] for row in rows] == ["fast", "lean"]
    for row in rows:
        assert 0 < row["peer_error_mev_per_angstrom"] < SAME_GRADIENTS_MEV_PER_ANGSTROM
        assert row["own_error_mev_per_angstrom"] > 30 * row["peer_error_mev_per_angstrom"]  # bfloat16 against float32
        assert "layers backwards" in format_row(row) and "against float64" in format_row(row)


def test_only_conservative_models_are_measured_in_several_modes_of_memory() -> None:
    plan = dataclasses.replace(PLAN, precisions=("float64", "float16"), memories=("fast", "lean"))
    assert list(list_ways(plan, MINI)) == [("float64", "auto"), ("float16", "auto")]
    assert len(list(list_ways(plan, "orb-mini-conservative-inf-xtb"))) == 4


def test_other_forces_would_be_seen(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.ones((4, 3)))
    np.save(tmp_path / "other.npy", np.ones((4, 3)) + [[0, 0, 1e-3]])
    assert compare_forces(tmp_path / "one.npy", tmp_path / "one.npy")["largest_difference_mev_per_angstrom"] == 0
    found = compare_forces(tmp_path / "one.npy", tmp_path / "other.npy")
    assert found["largest_difference_mev_per_angstrom"] == pytest.approx(1.0)
    assert found["largest_difference_mev_per_angstrom"] > SAME_FORCES_MEV_PER_ANGSTROM


def test_a_peer_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    plan = dataclasses.replace(PLAN, models=("orb-v3-direct-inf-omat",))
    (row,) = run_against_peer(plan, tmp_path / "python", lambda row: None)
    assert "does not start" in row["skipped"]


def test_a_peer_or_model_it_does_not_know_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown peer 'orb-model': did you mean 'orb-models'"):
        check_peer("orb-model", ())
    with pytest.raises(ModelError, match="omat and mpa"):
        check_peer("orb-models", (MINI,))


BAD = {
    "--model orb-mini": "did you mean 'orb-mini-direct-inf-xtb'",
    "--precision half": "unknown precision 'half'",
    "--device cuda:99": "cuda:99",
    "--case nowhere": "unknown case 'nowhere'",
    "--memory lots": "unknown memory mode 'lots'",
    "--force Torch": "unknown force kind 'Torch'",
    "--peer-python python": "--against",
    "--against sevenn --peer-python /no/python": "--peer-python /no/python is no program that starts",
    "--against sevenn --peer-python /": "--peer-python / is no program that starts",
    "--weights a.ckpt --random-weights": "give one of them",
    "--against orb-models --weights a.ckpt": "both sides load random weights, so leave out --weights",
    "--against orb-models --force PythonForce": "both sides run without OpenMM, so leave out --force",
    "--against orb-models --force none --steps 5": "both sides run without OpenMM, so leave out --steps",
}


@pytest.mark.parametrize("options", BAD)
def test_bad_input_is_one_line(options: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(build_app(), ["benchmark", *options.split(), "--output", os.fspath(tmp_path)])
    assert result.exit_code == 2
    assert BAD[options] in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("options", [[], ["--force", "none"]])
def test_a_peer_is_measured_with_and_without_a_word_about_no_force(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr("orbmm.benchmark.peer.run_against_peer", lambda plan, *_: plans.append(plan) or [])
    asked = ["--against", "orb-models", "--model", "orb-v3-direct-inf-omat", *options, "--output", os.fspath(tmp_path)]
    result = CliRunner().invoke(build_app(), ["benchmark", *asked])
    assert result.exit_code == 0, result.output
    assert len(plans) == 1


@pytest.mark.slow
def test_the_runner_alone_costs_little_beside_its_forces(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from orbmm.cli.main import main; main()", "benchmark", "--runner", "200"]
    done = subprocess.run([*command, "--output", tmp_path], check=True, capture_output=True, text=True)
    times = json.loads((tmp_path / "runner.json").read_text())
    assert times["atoms"] == 25_000 and times["steps"] == 200
    assert 0.0 < times["integrator"]["processor_ms"] < times["loop"]["processor_ms"]
    difference = times["loop"]["processor_ms"] - times["integrator"]["processor_ms"]
    assert times["runner"]["processor_ms"] == pytest.approx(difference, abs=2e-3)
    assert "runner" in done.stdout


def test_the_plan_says_how_networks_are_carried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Job] = []
    monkeypatch.setattr("orbmm.benchmark.run.measure_apart", lambda job, *_: asked.append(job) or {"skipped": "enough"})
    for changes in ({"compile": True}, {"cuda_graphs": True}, {"edges_per_block": 512}, {"kernels": "triton"}):
        (row,) = run_plan(dataclasses.replace(PLAN, execution=Execution(**changes)), lambda row: None)
        assert asked[-1].execution == Execution(**changes)
        assert row.items() >= dataclasses.asdict(Execution(**changes)).items()


def test_the_size_of_a_block_reaches_the_network_and_the_force(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*arguments: object) -> NoReturn:
        raise ModelError(f"{arguments[-1]}")

    build_water(10).save(tmp_path / "atoms.npz")
    job = dataclasses.replace(JOB, atoms=os.fspath(tmp_path / "atoms.npz"), execution=Execution(edges_per_block=512))
    monkeypatch.setattr("orbmm.benchmark.measure.load_model", refuse)
    with pytest.raises(ModelError, match="edges_per_block=512"):
        measure(job, tmp_path)
    monkeypatch.setattr("orbmm.benchmark.measure.create_system", refuse)
    with pytest.raises(ModelError, match="edges_per_block=512"):
        time_steps(build_water(10), dataclasses.replace(job, force="PythonForce"), None)


def test_a_network_without_named_parts_is_one_part() -> None:
    potential, water = load_model(MINI, device="cpu", execution=Execution()), build_water(20)
    plain = dataclasses.replace(potential, engine=None)  # what a compiled network is, but for the compilation
    composition = plain.compose(water.atomic_numbers)
    positions, cell = torch.tensor(water.positions), torch.tensor(water.cell)
    shares = measure_stages(lambda: plain.evaluate(composition, positions, cell), plain.device)
    assert list(shares) == ["graph", "network"]
    assert shares["network"] > 0.3


def test_a_python_file_in_the_current_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "numpy", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.chdir(tmp_path)
    assert measure_apart(JOB, tmp_path, 60.0)["skipped"] != "it ran"
    assert run_apart([sys.executable, "-m", "json"], 1, 60.0) == "it ran", "as it would without -P"
