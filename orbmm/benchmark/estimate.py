"""What a system would cost, from what smaller boxes cost: seconds and bytes grow with the edges."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbmm.benchmark.cases import Case, build_atoms
from orbmm.benchmark.job import Job
from orbmm.benchmark.machine import BYTES_PER_MB
from orbmm.benchmark.measure import FS_PER_NS, SECONDS_PER_DAY
from orbmm.benchmark.run import Row, measure_apart
from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.errors import SettingsError

CALIBRATION_ATOMS = (150, 300)  # of water: two boxes tell what an edge costs and what comes on top
CALIBRATION_LIMIT_S = 600.0
OPERAND_BYTES = {"float64": 8, "float16": 2, "bfloat16": 2}
FEATURE_BYTES = {"float64": 8}
GRAPH_BYTES_PER_EDGE = 150  # indices and shifts of edges and kept pairs, vectors, sums in blocks


@dataclass(frozen=True)
class Way:
    """How a network would be carried out."""

    model: str
    precision: str
    memory: str


@dataclass(frozen=True)
class Measured:
    """One box that was measured in a way: its edges, seconds of an evaluation, and peak memory [MB]."""

    edges: int
    evaluation_s: float
    memory_mb: float


@dataclass(frozen=True)
class Estimate:
    """What a system of so many edges would take in a way; fits: whether free_mb suffices."""

    way: Way
    edges: int
    step_s: float
    timestep_fs: float
    memory_mb: float
    free_mb: float

    @property
    def fits(self) -> bool:
        """Whether the memory that is free suffices."""
        return self.memory_mb <= self.free_mb

    @property
    def ns_per_day(self) -> float:
        """Nanoseconds of dynamics a day."""
        return SECONDS_PER_DAY / self.step_s * self.timestep_fs / FS_PER_NS


def list_ways(record: CheckpointRecord, precision: str, device_type: str) -> list[Way]:
    """The precision asked for and cheaper ones, each with the modes of memory that the model heeds."""
    cheaper = ("bfloat16",) if device_type == "cpu" else ("float16", "bfloat16")
    precisions = [precision, *(name for name in cheaper if name != precision)]
    modes = ("fast", "lean") if record.kind == "conservative" else ("auto",)
    return [Way(record.name, name, mode) for name in precisions for mode in modes]


def calibrate(way: Way, device: str, threads: int) -> list[Measured]:
    """Measure two small boxes of water in that way, with random weights, each in a process of its own.

    Raises SettingsError where the machine cannot.
    """
    with tempfile.TemporaryDirectory(prefix="orbmm-estimate-") as name:
        return [_measure(way, device, threads, atoms, Path(name)) for atoms in CALIBRATION_ATOMS]


def _measure(way: Way, device: str, threads: int, atoms: int, folder: Path) -> Measured:
    build_atoms(Case("water", atoms)).save(folder / "atoms.npz")
    file = str(folder / "atoms.npz")
    job = Job(file, way.model, "random", way.precision, device, threads, 1, 0, "", way.memory)
    answer = measure_apart(job, folder, CALIBRATION_LIMIT_S)
    if "skipped" in answer:
        raise SettingsError(f"{way.model} cannot be measured here in {way.precision}: {answer['skipped']}")
    return _read_answer(answer)


def is_measured(path: Path, way: Way) -> bool:
    """Whether a benchmark.json tells what that way costs; SettingsError for a file that is none."""
    return bool(_read_boxes(path, way))


def read_measured(path: Path, way: Way) -> list[Measured]:
    """The boxes of a benchmark.json that were measured in that way, smallest first.

    Raises SettingsError for a file that is none, or holds nothing of the kind.
    """
    measured = _read_boxes(path, way)
    if not measured:
        raise SettingsError(
            f"{path} holds no case of a {find_record(way.model).kind} network of this size in {way.precision}, "
            f"memory {way.memory}: measure one with `orbmm benchmark`, or leave out --from"
        )
    return measured


def _read_boxes(path: Path, way: Way) -> list[Measured]:
    try:
        rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
        fitting = [row for row in rows if _is_way(row, way) and "evaluation_s" in row]
        return sorted((_read_answer(row) for row in fitting), key=lambda each: each.edges)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} is no benchmark.json ({error}): make one with `orbmm benchmark`") from error


def _is_way(row: Row, way: Way) -> bool:
    """Whether a row tells what this way costs: weights do not count, kind and size of the network do. Rows of compiled and
    recorded networks and of Triton kernels are left aside: an estimate is of the plain way."""
    if row.get("compile") or row.get("cuda_graphs") or row.get("kernels") == "triton":
        return False
    theirs, ours = find_record(row["model"]), find_record(way.model)
    same_network = theirs.kind == ours.kind and theirs.architecture == ours.architecture
    return same_network and (row["precision"], row["memory"]) == (way.precision, way.memory)


def _read_answer(answer: dict[str, Any]) -> Measured:
    return Measured(answer["edges"], answer["evaluation_s"], answer.get("device_mb", answer["host_mb"]))


def predict(way: Way, measured: Sequence[Measured], edges: int, timestep_fs: float, free_mb: float) -> Estimate:
    """Seconds from the line through the two largest boxes, memory from the largest and from what an edge needs."""
    largest = measured[-1]
    per_edge = largest.evaluation_s / largest.edges
    if len(measured) > 1 and largest.edges > measured[-2].edges:
        smaller = measured[-2]
        per_edge = (largest.evaluation_s - smaller.evaluation_s) / (largest.edges - smaller.edges)
    seconds = largest.evaluation_s + max(per_edge, 0.0) * (edges - largest.edges)
    memory = largest.memory_mb + count_bytes_per_edge(way) * (edges - largest.edges) / BYTES_PER_MB
    return Estimate(way, edges, max(seconds, 1e-9), timestep_fs, memory, free_mb)


def count_bytes_per_edge(way: Way) -> int:
    """What each edge takes at the peak: its features, and for forces by gradient those of every layer."""
    record = find_record(way.model)
    size = record.architecture
    features = FEATURE_BYTES.get(way.precision, 4) * size.latent_dim
    if record.kind == "direct":
        return features + GRAPH_BYTES_PER_EDGE
    total = (size.layers + 2) * features + GRAPH_BYTES_PER_EDGE
    if way.memory == "fast":
        hidden = OPERAND_BYTES.get(way.precision, 4) * (size.mlp_depth * size.mlp_hidden_dim)
        total += (size.layers + 1) * (hidden + features)  # the encoder too
    return total


def choose(estimates: Sequence[Estimate]) -> Estimate | None:
    """The first that fits, in the order of preference in which they stand; None where nothing does."""
    return next((estimate for estimate in estimates if estimate.fits), None)


def iterate_estimates(
    ways: Sequence[Way], source: Path | None, machine: tuple[str, int, float], edges: int, timestep_fs: float
) -> Iterator[Estimate]:
    """An estimate for each way, told as it comes.

    source: a benchmark.json, None to measure now; machine: device, threads, and free memory [MB]
    """
    device, threads, free_mb = machine
    known = ways if source is None else [way for way in ways if is_measured(source, way)] or ways
    for way in known:
        measured = read_measured(source, way) if source is not None else calibrate(way, device, threads)
        yield predict(way, measured, edges, timestep_fs, free_mb)
