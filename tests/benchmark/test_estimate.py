"""What a system would cost, from measured boxes: the arithmetic, the file, and a calibration that really runs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from orbmm.benchmark.cases import Job, build_water
from orbmm.benchmark.estimate import (
    CALIBRATION_ATOMS,
    MEMORY_MARGIN,
    QUICK_ATOMS,
    Estimate,
    Measured,
    Way,
    _measure,
    calibrate,
    choose,
    count_block_bytes,
    count_bytes_per_edge,
    is_measured,
    list_ways,
    predict,
    read_measured,
)
from orbmm.checkpoints.catalog import find_record
from orbmm.checkpoints.record_in_file import format_record
from orbmm.cli.estimate import conclude, describe_compiling, name_network
from orbmm.cli.main import build_app
from orbmm.model.load import make_network
from orbmm.settings.model import ModelSettings

WAY = Way("orb-mini-conservative-inf-xtb", "float32-highest", "lean")
BOXES = [Measured(1_000, 0.11, 400.0), Measured(2_000, 0.21, 500.0)]  # 0.1 ms an edge, and 10 ms on top


def test_seconds_lie_on_the_line_through_the_boxes() -> None:
    estimate = predict(WAY, BOXES, 10_000, timestep_fs=0.5, free_mb=1e6)
    assert estimate.step_s == pytest.approx(1.01)
    assert estimate.ns_per_day == pytest.approx(86_400 / 1.01 * 0.5e-6)
    assert predict(WAY, BOXES[1:], 4_000, 0.5, 1e6).step_s == pytest.approx(0.42)


def test_memory_grows_by_what_an_edge_takes() -> None:
    estimate = predict(WAY, BOXES, 1_002_000, timestep_fs=0.5, free_mb=1000.0)
    block = count_block_bytes(WAY, 2**15 - 2_000) / 1e6  # 8 MB of hidden values are 2^15 edges, and the box had 2,000
    assert estimate.memory_mb == pytest.approx(500.0 + count_bytes_per_edge(WAY) + block)
    assert not estimate.fits
    assert choose([estimate]) is None
    smaller = predict(WAY, BOXES, 3_000, 0.5, 1000.0)
    assert choose([estimate, smaller]) is smaller


def test_a_prediction_fits_with_a_margin() -> None:
    estimate = predict(WAY, BOXES, 2_000, timestep_fs=0.5, free_mb=1.01 * (1 + MEMORY_MARGIN) * 500.0)
    assert estimate.fits
    assert not dataclasses.replace(estimate, free_mb=estimate.free_mb / 1.02).fits


def test_a_system_smaller_than_all_boxes_takes_as_long_as_the_quickest_one() -> None:
    """The line through two boxes, of which a busy machine slowed one down, would lead below zero."""
    noisy = [Measured(1_000, 0.1, 400.0), Measured(2_000, 0.9, 500.0)]
    found = {edges: predict(WAY, noisy, edges, 0.5, 1e6).step_s for edges in (562, 1_500)}
    assert found == {562: pytest.approx(0.1), 1_500: pytest.approx(0.5)}


def test_a_block_of_few_edges_saves_what_a_larger_one_takes() -> None:
    way = dataclasses.replace(WAY, edges_per_block=100_000)
    estimate = predict(way, BOXES, 1_002_000, timestep_fs=0.5, free_mb=1e6)
    assert estimate.block_mb == pytest.approx(count_block_bytes(way, 100_000 - 1024) / 1e6)
    grown = count_block_bytes(way, 100_000 - 2_000) / 1e6
    assert estimate.memory_mb == pytest.approx(500.0 + count_bytes_per_edge(way) + grown)
    assert predict(way, BOXES, 1_000, 0.5, 1e6).block_mb == 0


def make_estimate(memory_mb: float, block_mb: float, memory: str = "fast") -> Estimate:
    way = dataclasses.replace(WAY, memory=memory)
    return Estimate(way, 1_000_000, 1.0, 0.5, memory_mb, free_mb=10_000.0, block_mb=block_mb)


def test_the_faster_of_two_that_fit_is_chosen_in_the_precision_that_was_asked_for() -> None:
    slow = dataclasses.replace(make_estimate(100, 0), step_s=0.5)
    quick = dataclasses.replace(make_estimate(100, 0, "lean"), step_s=0.1)
    coarse = Estimate(dataclasses.replace(WAY, precision="bfloat16"), 1_000_000, 0.01, 0.5, 100, 10_000.0)
    assert choose([slow, quick, coarse]) is quick and choose([quick, slow, coarse]) is quick
    assert choose([make_estimate(20_000, 0), coarse]) is coarse
    assert "more slowly" not in conclude([slow, quick], quick)  # the slow one fits as it is


def test_smaller_blocks_are_advised_where_they_make_it_fit() -> None:
    by_blocks, hopeless, lean = make_estimate(9_000, 2_000), make_estimate(9_000, 500), make_estimate(7_000, 0, "lean")
    assert choose([by_blocks, hopeless]) is None
    assert "edges_per_block" not in conclude([hopeless], None)
    assert conclude([hopeless, by_blocks], None).endswith(
        'take, more slowly, [model] precision = "float32-highest", memory = "fast", edges_per_block = 1024'
    )
    both = conclude([by_blocks, lean], lean)
    assert both.startswith('take [model] precision = "float32-highest", memory = "lean"; or, more slowly, ')
    assert 'memory = "fast", edges_per_block = 1024' in both
    assert "edges_per_block" not in conclude([lean, by_blocks], lean)  # what is preferred fits as it is


@pytest.mark.parametrize(("evaluation_s", "atoms"), [(0.01, [150, 3_000]), (1.0, [150, 300])])
def test_the_second_box_is_large_where_that_is_quick(
    evaluation_s: float, atoms: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Job] = []
    answer = {"edges": 100, "evaluation_s": evaluation_s, "host_mb": 1.0}
    monkeypatch.setattr("orbmm.benchmark.estimate.measure_apart", lambda job, *_: asked.append(job) or answer)
    sizes: list[int | None] = []
    monkeypatch.setattr(
        "orbmm.benchmark.estimate.build_atoms", lambda case: sizes.append(case.water_atoms) or build_water(4)
    )
    calibrate(dataclasses.replace(WAY, edges_per_block=512), "cpu", 1)
    assert sizes == atoms
    assert [job.execution.edges_per_block for job in asked] == [512, 512]


def test_a_run_that_would_be_compiled_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelSettings(precision="float32-highest")
    for answer in (True, False):
        monkeypatch.setattr("orbmm.forces.resolve.resolve_compile", lambda *_, answer=answer: answer)
        note = describe_compiling(model, 256, 20_000)
        assert (note is not None and "a run of 20000 steps would be compiled" in note) is answer
    asked = describe_compiling(dataclasses.replace(model, compile=True), 256, 10)
    assert asked is not None and "compile = true" in asked


def test_bytes_of_an_edge_follow_from_the_network() -> None:
    direct = count_bytes_per_edge(Way("orb-v3-direct-inf-omat", "float32-high", "auto"))
    assert 1024 < direct < 1400
    capped = count_bytes_per_edge(Way("orb-v3-direct-20-omat", "float32-high", "auto"))
    assert 20 * (capped - 1024 - 150) == pytest.approx(90 * (direct - 1024 - 150), rel=0.02)  # an atom takes as much
    lean, fast, auto = (
        count_bytes_per_edge(Way("orb-v3-conservative-inf-omat", "float32-high", mode))
        for mode in ("lean", "fast", "auto")
    )
    assert auto == fast
    assert lean < 8 * 1024 < 5 * 2 * 4 * 1024 < fast


def test_cheaper_precisions_and_both_modes_are_offered() -> None:
    conservative = "orb-v3-conservative-inf-omat"
    assert [(way.precision, way.memory) for way in list_ways(conservative, "float32-high", "cuda")] == [
        (precision, mode) for precision in ("float32-high", "float16", "bfloat16") for mode in ("fast", "lean")
    ]
    direct = "orb-v3-direct-inf-omat"
    assert [way.precision for way in list_ways(direct, "bfloat16", "cpu")] == ["bfloat16"]


def test_a_network_of_an_own_file_is_measured_and_found(tmp_path: Path) -> None:
    """Its small box is measured with its own weights, and a row of a network of its size counts for it."""
    base = find_record("orb-mini-direct-inf-xtb")
    path, rows = tmp_path / "mine.safetensors", tmp_path / "benchmark.json"
    record = replace(base, name="mine", url=None, file=None, sha256=None, residues=None, bonds=None)
    save_file(make_network(record).state_dict(), path, metadata=format_record(record, {}))
    (own, *_) = list_ways(str(path), "float32-high", "cpu")
    assert own.memory == "auto"  # as of every direct network
    assert _measure(own, "cpu", 1, 150, tmp_path).edges > 3_000
    row = {
        "model": base.name,
        "precision": own.precision,
        "memory": "auto",
        "edges": 9,
        "evaluation_s": 1,
        "host_mb": 1,
    }
    rows.write_text(json.dumps({"rows": [row]}))
    assert is_measured(rows, own)
    rows.write_text(json.dumps({"rows": [row | {"model": "orb-mini-conservative-inf-xtb"}]}))
    assert not is_measured(rows, own)
    assert name_network(ModelSettings("orbmm", path)) == name_network(ModelSettings(str(path))) == str(path)
    assert name_network(ModelSettings(base.name)) == base.name


@pytest.mark.slow
def test_a_calibration_measures_two_boxes() -> None:
    small, large = calibrate(WAY, "cpu", 1)
    first, second = CALIBRATION_ATOMS  # on a busy machine the second box is the smaller of the two that it can be
    ratios = [atoms / first for atoms in (QUICK_ATOMS, second)]
    assert min(abs(large.edges / small.edges / ratio - 1.0) for ratio in ratios) < 0.2
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


@pytest.mark.parametrize("compiled", [False, True])
def test_the_command_prints_a_table_and_what_to_set(
    compiled: bool, repository: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orbmm.forces.resolve.resolve_compile", lambda *_: compiled)
    result = run_estimate(repository, "--from", str(measured))
    assert result.exit_code == 0, result.output
    first, header, row, conclusion, *notes = result.output.splitlines()
    assert row.endswith("fits with 25% to spare")
    assert ["would be compiled" in note for note in notes] == ([True] if compiled else [])
    assert "256 atoms" in first
    edges = int(first.split(" edges")[0].split()[-1])
    assert float(row.split()[2]) == pytest.approx(1000 / edges, rel=0.01)
    assert header.split()[2] == "steps/s"
    assert conclusion == 'take [model] precision = "float32-highest", memory = "lean"'


ROW = {
    "model": "orb-mini-conservative-inf-xtb",
    "precision": "float32-highest",
    "memory": "lean",
    "edges": 1000,
    "evaluation_s": 0.1,
    "host_mb": 100.0,
}
BAD = {
    "nothing there": ("no benchmark.json", None),
    "no JSON": ("is no benchmark.json", "[1"),
    "another file": ("is no benchmark.json", "{}"),
    "nested": ("is no benchmark.json", "[" * 100_000),
    "rows of text": ("is no benchmark.json", '{"rows": ["x"]}'),
    "a huge number": ("is no benchmark.json", '{"rows": ' + "9" * 5000 + "}"),
    "a cost in words": ("is no benchmark.json", json.dumps({"rows": [ROW | {"evaluation_s": "long"}]})),
    "no edges": ("is no benchmark.json", json.dumps({"rows": [ROW | {"edges": 0}]})),
    "edges without end": ("is no benchmark.json", json.dumps({"rows": [ROW | {"edges": 10**400}]})),
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
    grown = 2_000 * count_bytes_per_edge(WAY) + count_block_bytes(WAY, 2_000)
    third = Measured(4_000, 0.5, 500.0 + grown / 1e6)  # the line says 0.41 s
    common = {"model": WAY.model, "precision": WAY.precision, "memory": WAY.memory}
    rows = [
        {**common, "edges": box.edges, "evaluation_s": box.evaluation_s, "host_mb": box.memory_mb}
        for box in (third, third, *BOXES)  # two of a size: neither is the smaller one of the other
    ]
    rows.append({**common, "model": "orb-v3-direct-inf-omat", "skipped": "too large"})
    path.write_text(json.dumps({"rows": rows}))
    script = Path(__file__).parents[2] / "scripts" / "benchmarks" / "estimate_error.py"
    report = tmp_path / "error.json"
    subprocess.run([sys.executable, script, path, "--to", report], check=True, capture_output=True)
    row, same = json.loads(report.read_text())["rows"]
    assert row == same
    assert row["predicted_s"] == pytest.approx(0.41)
    assert row["time_error"] == pytest.approx(0.41 / 0.5 - 1)
    assert row["memory_error"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "changes",
    [{"compile": True}, {"cuda_graphs": True}, {"kernels": "triton"}, {"kernels": "fused"}, {"edges_per_block": 512}],
)
def test_rows_of_other_ways_do_not_count(tmp_path: Path, changes: dict) -> None:
    row = {"model": WAY.model, "precision": WAY.precision, "memory": WAY.memory, "edges": 9, "evaluation_s": 1.0}
    plain, file = {**row, "host_mb": 100.0, "compile": False, "kernels": "auto"}, tmp_path / "benchmark.json"
    file.write_text(json.dumps({"rows": [plain, {**plain, "edges": 18, **changes}]}))
    assert [box.edges for box in read_measured(file, WAY)] == [9]
