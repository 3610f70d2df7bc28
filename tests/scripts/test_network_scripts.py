"""Precisions, ways of working, large boxes, estimates, the figure of speed: each script measures what its rows say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from matplotlib.image import imread

from orbmm.benchmark.cases import build_water
from orbmm.model.compiled import find_compiler, has_python_headers
from orbmm.settings.model import PRECISIONS

DIRECT, CONSERVATIVE = "orb-mini-direct-inf-xtb", "orb-mini-conservative-inf-xtb"
can_compile = pytest.mark.skipif(
    find_compiler() is None or not has_python_headers(), reason="torch.compile needs a C++ compiler on a CPU"
)


@pytest.mark.slow
def test_the_rougher_a_precision_the_larger_its_errors(run_script: Callable, repository: Path) -> None:
    water = repository / "systems" / "water" / "water.pdb"
    found = run_script("scripts/benchmarks/precision.py", "--model", DIRECT, "--structure", water, "--threads", 1)
    rows = {row["precision"]: row for row in found.rows}
    assert tuple(rows) == PRECISIONS and all(row["model"] == DIRECT for row in found.rows)
    assert (found.report["structure"], found.report["atoms"]) == ("water.pdb", 255)
    assert found.report["edges"] == {DIRECT: rows["float64"]["edges"]} and rows["float64"]["edges"] > 255 * 20
    for error in (
        "largest_difference_mev_per_angstrom",
        "rms_difference_mev_per_angstrom",
        "energy_error_mev_per_atom",
    ):
        rough, half, single, exact = (
            rows[name][error] for name in ("bfloat16", "float16", "float32-highest", "float64")
        )
        assert 100.0 > rough > 2 * half > 4 * single > 4 * exact == 0.0
    assert all(row["evaluation_s"] > 0.0 and row["host_mb"] > 100.0 for row in found.rows)
    assert found.printed.count(f"\n| {DIRECT} |") == len(PRECISIONS)


def test_without_the_exact_forces_no_errors_are_told(
    load_script: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    precision = load_script("scripts/benchmarks/precision.py")

    def answer(job: SimpleNamespace, *_: object) -> dict[str, object]:
        if job.precision == "float64":
            return {"skipped": "not enough memory"}
        return {"evaluation_s": 0.5, "host_mb": 700.0, "energy_ev": 1.0, "edges": 9}

    monkeypatch.setattr(precision, "measure_apart", answer)
    options = SimpleNamespace(device="cpu", threads=1, evaluations=1, weights=Path("w.ckpt"), limit_s=9.0)
    rows = list(precision.compare(DIRECT, build_water(10), options, tmp_path))
    assert [row["precision"] for row in rows] == list(PRECISIONS)
    assert precision.format_row(rows[0]) == f"| {DIRECT} | float64 | not enough memory | | | | |"
    assert precision.format_row(rows[1]) == f"| {DIRECT} | float32-highest | - | - | - | 2 | 700 |"


@can_compile
@pytest.mark.filterwarnings("ignore:.torch.jit.*:DeprecationWarning")  # torch's compiler uses it itself
def test_only_the_compiled_way_leaves_the_engine(load_script: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    step_time = load_script("scripts/benchmarks/step_time.py")
    kept = []
    monkeypatch.setattr(step_time, "keep_freed_memory", lambda: kept.append(True))
    engines = {way: (step_time.load_potential(DIRECT, way).engine, len(kept)) for way in step_time.WAYS}
    assert [calls for _, calls in engines.values()] == [0, 1, 2]
    assert [engine is None for engine, _ in engines.values()] == [False, False, True]


def test_a_way_that_was_not_compiled_would_be_seen(load_script: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    step_time = load_script("scripts/benchmarks/step_time.py")
    load = step_time.load_potential
    monkeypatch.setattr(step_time, "load_potential", lambda model, way: load(model, "plain"))
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    row = step_time.measure(DIRECT, "kept-memory+compile", 1)
    assert row["carried_out_by"] == "Engine" and row["wall_ms"] > 0.0


@pytest.mark.slow
@can_compile
def test_every_way_of_a_step_is_timed(run_script: Callable) -> None:
    found = run_script("scripts/benchmarks/step_time.py", DIRECT, "--evaluations", 2)
    assert [(row["way"], row["carried_out_by"]) for row in found.rows] == [
        ("plain", "Engine"),
        ("kept-memory", "Engine"),
        ("kept-memory+compile", "compiled network"),
    ]
    energies = [row["energy_ev"] for row in found.rows]
    assert energies == pytest.approx([energies[0]] * 3, abs=256 * 1e-5)  # float32: some 0.003 meV an atom
    assert all(row["cpu_ms"] > 0.0 and row["wall_ms"] > 0.0 and row["warm_up_s"] > 0.0 for row in found.rows)
    assert found.printed.count(f"| {DIRECT} |") == 3


def test_a_large_box_is_computed_once(run_script: Callable) -> None:
    found = run_script("scripts/benchmarks/many_atoms.py", "--model", CONSERVATIVE, "--atoms", 90, "--threads", 1)
    (row,) = found.rows
    assert (row["model"], row["memory_mode"], row["atoms"]) == (CONSERVATIVE, "lean", 90)
    assert row["edges"] > 90 * 20 and row["largest_force_ev_per_angstrom"] > 0.0
    assert row["graph_s"] > 0.0 and row["network_s"] > 0.0 and row["host_mb"] > 100.0
    assert json.loads(found.printed) == row


def test_boxes_on_a_line_are_estimated_without_an_error_and_others_with_theirs(
    run_script: Callable, tmp_path: Path
) -> None:
    way = {"model": CONSERVATIVE, "precision": "float32-highest", "memory": "lean"}
    line = [(1_000, 0.11), (2_000, 0.21), (4_000, 0.41), (8_000, 1.62)]  # the last takes twice what the line says
    rows = [{**way, "edges": edges, "evaluation_s": seconds, "host_mb": 500.0} for edges, seconds in line]
    head = {"command": "orbmm benchmark", "processor": "another", "date": "2026-01-01"}
    (tmp_path / "benchmark.json").write_text(json.dumps({**head, "rows": [*rows, {**way, "skipped": "too large"}]}))
    found = run_script("scripts/benchmarks/estimate_error.py", tmp_path / "benchmark.json")
    assert [row["edges"] for row in found.rows] == [4_000, 8_000]
    assert [row["time_error"] for row in found.rows] == pytest.approx([0.0, -0.5])
    assert all(row["memory_error"] > 0.0 for row in found.rows), "edges take memory, and these took none"
    assert found.report["measured"] == {"from": "benchmark.json", **head}


def test_the_figure_of_speed_has_its_numbers_beside_it(run_script: Callable, tmp_path: Path) -> None:
    cases = '[[case]]\nname = "tiny"\nwater_atoms = 30\n[[case]]\nname = "absent"\nstructure = "absent.pdb"\n'
    (tmp_path / "cases.toml").write_text(cases)
    models = ("orb-v3-direct-20-omat", "orb-v3-conservative-20-omat")
    options = ("--cases", tmp_path / "cases.toml", "--device", "cpu", "--threads", 1, "--evaluations", 1)
    chosen = (each for model in models for each in ("--model", model))
    peer = ("--peer", f"sevenn={tmp_path / 'no-python'}")
    found = run_script("scripts/benchmarks/paper_speed.py", *options, *chosen, *peer, report="speed/speed.json")
    rows, peers = found.rows[:-2], found.rows[-2:]
    assert [row["model"] for row in peers] == ["sevenn"] * 2
    assert "does not start" in peers[0]["skipped"] and peers[1]["skipped"] == "not tried after tiny"
    assert [(row["case"], row["model"]) for row in rows] == [(c, m) for c in ("tiny", "absent") for m in models]
    for row in found.rows[:2]:
        assert (row["atoms"], row["edges"]) == (30, 600)
        assert row["evaluation_s"] > 0.0 and row["host_mb"] > 100.0
    assert all("absent.pdb" in row["skipped"] for row in rows[2:])
    assert found.report["paper"]["steps_per_s"]["orb-v3-direct-20-omat"] == 216.5
    assert imread(found.path.with_suffix(".png")).std() > 0.01
    assert found.path.with_suffix(".svg").stat().st_size > 1_000
    assert imread(found.path.with_name("times.png")).std() > 0.01
