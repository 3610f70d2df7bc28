"""What a system would cost, from measured boxes: the arithmetic, the file, and a calibration that really runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orbmm.benchmark.estimate import (
    Measured,
    Way,
    calibrate,
    choose,
    count_bytes_per_edge,
    list_ways,
    predict,
    read_measured,
)
from orbmm.checkpoints.catalog import find_record
from orbmm.cli.main import build_app

WAY = Way("orb-mini-conservative-inf-xtb", "float32-highest", "lean")
BOXES = [Measured(1_000, 0.11, 400.0), Measured(2_000, 0.21, 500.0)]  # 0.1 ms an edge, and 10 ms on top


def test_seconds_lie_on_the_line_through_the_boxes() -> None:
    estimate = predict(WAY, BOXES, 10_000, timestep_fs=0.5, free_mb=1e6)
    assert estimate.step_s == pytest.approx(1.01)
    assert estimate.ns_per_day == pytest.approx(86_400 / 1.01 * 0.5e-6)
    assert predict(WAY, BOXES[1:], 4_000, 0.5, 1e6).step_s == pytest.approx(0.42)


def test_memory_grows_by_what_an_edge_takes() -> None:
    estimate = predict(WAY, BOXES, 1_002_000, timestep_fs=0.5, free_mb=1000.0)
    assert estimate.memory_mb == pytest.approx(500.0 + count_bytes_per_edge(WAY))
    assert not estimate.fits
    assert choose([estimate]) is None
    smaller = predict(WAY, BOXES, 3_000, 0.5, 1000.0)
    assert choose([estimate, smaller]) is smaller


def test_bytes_of_an_edge_follow_from_the_network() -> None:
    direct = count_bytes_per_edge(Way("orb-v3-direct-inf-omat", "float32-high", "auto"))
    assert 1024 < direct < 1400
    lean, fast = (
        count_bytes_per_edge(Way("orb-v3-conservative-inf-omat", "float32-high", mode)) for mode in ("lean", "fast")
    )
    assert lean < 8 * 1024 < 5 * 2 * 4 * 1024 < fast


def test_cheaper_precisions_and_both_modes_are_offered() -> None:
    conservative = find_record("orb-v3-conservative-inf-omat")
    assert [(way.precision, way.memory) for way in list_ways(conservative, "float32-high", "cuda")] == [
        (precision, mode) for precision in ("float32-high", "float16", "bfloat16") for mode in ("fast", "lean")
    ]
    direct = find_record("orb-v3-direct-inf-omat")
    assert [way.precision for way in list_ways(direct, "bfloat16", "cpu")] == ["bfloat16"]


@pytest.mark.slow
def test_a_calibration_measures_two_boxes() -> None:
    small, large = calibrate(WAY, "cpu", 1)
    assert 2 * small.edges == pytest.approx(large.edges, rel=0.2)
    assert small.evaluation_s > 0
    assert large.memory_mb > 50


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A benchmark.json of this way alone, in which an edge takes 1 ms and hardly any memory."""
    row = {"model": WAY.model, "precision": WAY.precision, "memory": WAY.memory}
    rows = [{**row, "edges": edges, "evaluation_s": edges / 1000, "host_mb": 300.0} for edges in (1_000, 2_000)]
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps({"rows": [*rows, {**row, "skipped": "too large"}]}))
    return path


def run_estimate(repository: Path, *options: str) -> Result:
    system = repository / "systems" / "alanine-dipeptide" / "system.toml"
    return CliRunner().invoke(build_app(), ["estimate", str(system), "--precision", WAY.precision, *options])


def test_the_command_prints_a_table_and_what_to_set(repository: Path, measured: Path) -> None:
    result = run_estimate(repository, "--from", str(measured))
    assert result.exit_code == 0, result.output
    first, header, row, conclusion = result.output.splitlines()
    assert "256 atoms" in first
    edges = int(first.split(" edges")[0].split()[-1])
    assert float(row.split()[2]) == pytest.approx(1000 / edges, rel=0.01)
    assert header.split()[2] == "steps/s"
    assert conclusion == 'take [model] precision = "float32-highest", memory = "lean"'


BAD = {
    "nothing there": ("no benchmark.json", None),
    "no JSON": ("is no benchmark.json", "[1"),
    "another file": ("is no benchmark.json", "{}"),
    "other cases": ("holds no case of a conservative network", '{"rows": []}'),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_tells_nothing_is_named(name: str, repository: Path, tmp_path: Path) -> None:
    sentence, text = BAD[name]
    path = tmp_path / "other.json"
    if text is not None:
        path.write_text(text)
    result = run_estimate(repository, "--from", str(path))
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_error_of_an_estimate_is_told_from_smaller_boxes(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    third = Measured(4_000, 0.5, 500.0 + 2_000 * count_bytes_per_edge(WAY) / 1e6)  # the line says 0.41 s
    common = {"model": WAY.model, "precision": WAY.precision, "memory": WAY.memory}
    rows = [
        {**common, "edges": box.edges, "evaluation_s": box.evaluation_s, "host_mb": box.memory_mb}
        for box in (third, third, *BOXES)  # two of a size: neither is the smaller one of the other
    ]
    rows.append({**common, "model": "orb-v3-direct-inf-omat", "skipped": "too large"})
    path.write_text(json.dumps({"rows": rows}))
    script = Path(__file__).parents[2] / "benchmarks" / "estimate_error.py"
    report = tmp_path / "error.json"
    subprocess.run([sys.executable, script, path, "--to", report], check=True, capture_output=True)
    row, same = json.loads(report.read_text())["rows"]
    assert row == same
    assert row["predicted_s"] == pytest.approx(0.41)
    assert row["time_error"] == pytest.approx(0.41 / 0.5 - 1)
    assert row["memory_error"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("changes", [{"compile": True}, {"cuda_graphs": True}, {"kernels": "triton"}])
def test_rows_of_other_ways_do_not_count(tmp_path: Path, changes: dict) -> None:
    row = {"model": WAY.model, "precision": WAY.precision, "memory": WAY.memory, "edges": 9, "evaluation_s": 1.0}
    plain, file = {**row, "host_mb": 100.0, "compile": False, "kernels": "auto"}, tmp_path / "benchmark.json"
    file.write_text(json.dumps({"rows": [plain, {**plain, "edges": 18, **changes}]}))
    assert [box.edges for box in read_measured(file, WAY)] == [9]
