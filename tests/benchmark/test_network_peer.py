"""Another kind of network is measured beside ours: times and memory are compared, forces are not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from orbmm.benchmark import network_peer_process, peer
from orbmm.benchmark.cases import Answer, Case
from orbmm.benchmark.network_peer import NETWORK_PEERS, measure_network_peer
from orbmm.benchmark.peer import check_peer, run_against_peer
from orbmm.benchmark.report import format_row
from orbmm.benchmark.run import Plan

MINI = "orb-mini-direct-inf-xtb"
PLAN = Plan((Case("water-30", water_atoms=30),), (MINI,), ("float32-highest",), (), "", "cpu", 1, 1, 0, 300.0)
TIMES = {"evaluation_s": 2.0, "evaluation_cpu_s": 4.0, "evaluation_range_s": [2.0, 2.0], "graph_s": 0.5}
THEIRS: Answer = {**TIMES, "package": "sevenn 0.11, 7net-l3i5", "evaluations": 1, "host_mb": 1_000.0}


def test_times_and_memory_of_another_network_stand_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def answer(*arguments: object) -> Answer:
        asked.append(arguments)
        return THEIRS

    monkeypatch.setattr(peer, "measure_network_peer", answer)
    (row,) = run_against_peer(PLAN, Path("their-python"), lambda row: None, "sevenn")
    assert asked[0][1:3] == ("sevenn", "their-python")
    assert row["speed_ratio"] == pytest.approx(2.0 / row["evaluation_s"])
    assert row["cpu_time_ratio"] == pytest.approx(4.0 / row["evaluation_cpu_s"])
    assert row["memory_ratio"] == pytest.approx(row["host_mb"] / 1_000.0)
    assert "largest_difference_mev_per_angstrom" not in row, "forces of two different networks were compared"
    assert "sevenn 2-2 s in 1 evaluation" in format_row(row) and "forces differ" not in format_row(row)


def test_a_peer_that_fails_is_a_reason_and_ours_is_not_measured(tmp_path: Path) -> None:
    (row,) = run_against_peer(PLAN, tmp_path / "python", lambda row: None, "mattersim")
    assert row["skipped"].startswith("mattersim: ") and "does not start" in row["skipped"]
    assert "evaluation_s" not in row


def test_a_package_that_is_absent_is_named(tmp_path: Path) -> None:
    (tmp_path / "atoms.npz").write_bytes(b"")
    answer = measure_network_peer(PLAN, "no-such-network", sys.executable, tmp_path / "atoms.npz", tmp_path / "peer")
    assert "KeyError: 'no-such-network'" in answer["skipped"]
    assert json.loads((tmp_path / "peer" / "request.json").read_text())["threads"] == 1


def test_every_peer_has_its_builder_and_takes_any_of_our_models() -> None:
    assert tuple(network_peer_process.BUILDERS) == NETWORK_PEERS
    for name in NETWORK_PEERS:
        check_peer(name, (MINI,))
