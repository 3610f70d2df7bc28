"""Estimate time and memory of a system from those of smaller boxes: both grow linearly with the edges."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from orbmm.benchmark.cases import Case, Job, build_atoms
from orbmm.benchmark.machine import BYTES_PER_MB
from orbmm.benchmark.measure import FS_PER_NS, SECONDS_PER_DAY
from orbmm.benchmark.run import Row, measure_apart
from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.checkpoints.record_in_file import resolve_record
from orbmm.errors import SettingsError, UnsafeFile
from orbmm.files import read_json
from orbmm.model.inference.execution import Execution
from orbmm.model.inference.memory import FEWEST_EDGES_PER_BLOCK, MemoryUse
from orbmm.settings.model import TRITON_KERNELS
from orbmm.settings.paths import is_weights_path

CALIBRATION_ATOMS = (150, 300)  # of water: two boxes give the cost of an edge and the constant part
QUICK_ATOMS, QUICK_S = 3_000, 5.0  # of the second box, where an evaluation of it takes no longer
QUICK_EVALUATIONS = 3
MEMORY_MARGIN = 0.25  # for what an evaluation does not show: pairs in the skin, OpenMM, frames; and for the error
CALIBRATION_LIMIT_S = 600.0
OPERAND_BYTES = {"float64": 8, "float16": 2, "bfloat16": 2}
FEATURE_BYTES = {"float64": 8}
ATOMS_PER_ANGSTROM3 = 0.1  # of water, and of proteins in it
_LARGEST_BYTES = 100_000_000  # of a benchmark.json
_TOO_MUCH = 1e15  # edges, seconds or MB
GRAPH_BYTES_PER_EDGE = 150  # indices and shifts of edges and kept pairs, vectors, sums in blocks


@dataclass(frozen=True)
class Way:
    """The settings with which a network is evaluated; edges_per_block: as in ModelSettings.

    model: a name of the catalogue, or the path of a weights file with its own record
    """

    model: str
    precision: str
    memory: str
    edges_per_block: int | None = None


@dataclass(frozen=True)
class Measured:
    """One measured box: its edges, seconds per evaluation, and peak memory [MB]."""

    edges: int
    evaluation_s: float
    memory_mb: float


@dataclass(frozen=True)
class Estimate:
    """The predicted time and memory of a system with this many edges, for one Way.

    block_mb: the part of memory_mb that the smallest blocks would save
    """

    way: Way
    edges: int
    step_s: float
    timestep_fs: float
    memory_mb: float
    free_mb: float
    block_mb: float = 0.0

    @property
    def fits(self) -> bool:
        """Return True if the free memory suffices, even if the prediction is too low by its margin."""
        return (1 + MEMORY_MARGIN) * self.memory_mb <= self.free_mb

    @property
    def fits_in_blocks(self) -> bool:
        """Return True if the free memory suffices with the smallest blocks, with the margin of `fits`."""
        return (1 + MEMORY_MARGIN) * (self.memory_mb - self.block_mb) <= self.free_mb

    @property
    def ns_per_day(self) -> float:
        """Return the nanoseconds of dynamics per day."""
        return SECONDS_PER_DAY / self.step_s * self.timestep_fs / FS_PER_NS


def list_ways(model: str, precision: str, device_type: str, edges_per_block: int | None = None) -> list[Way]:
    """Return the requested precision and cheaper ones, each with the memory modes that matter for the model.

    model: a name of the catalogue, or the path of a weights file with its own record
    """
    cheaper = ("bfloat16",) if device_type == "cpu" else ("float16", "bfloat16")
    precisions = [precision, *(name for name in cheaper if name != precision)]
    modes = ("fast", "lean") if resolve_record(model).kind == "conservative" else ("auto",)
    return [Way(model, name, mode, edges_per_block) for name in precisions for mode in modes]


def calibrate(way: Way, device: str, threads: int) -> list[Measured]:
    """Measure two boxes of water with random weights, each in a separate process.

    If evaluations are quick, the second box is larger: timings of small boxes are sensitive to other programs.
    Raises SettingsError if this machine cannot measure them.
    """
    first, second = CALIBRATION_ATOMS
    with tempfile.TemporaryDirectory(prefix="orbmm-estimate-") as name:
        folder = Path(name)
        small = _measure(way, device, threads, first, folder)
        quick = small.evaluation_s * QUICK_ATOMS / first <= QUICK_S
        return [small, _measure(way, device, threads, QUICK_ATOMS if quick else second, folder)]


def _measure(way: Way, device: str, threads: int, atoms: int, folder: Path) -> Measured:
    build_atoms(Case("water", atoms)).save(folder / "atoms.npz")
    job = Job(
        atoms=str(folder / "atoms.npz"),
        model=way.model,
        weights="" if is_weights_path(way.model) else "random",
        precision=way.precision,
        device=device,
        threads=threads,
        evaluations=QUICK_EVALUATIONS if atoms == QUICK_ATOMS else 1,
        steps=0,
        force="",
        execution=Execution(memory=way.memory, edges_per_block=way.edges_per_block),
    )
    answer = measure_apart(job, folder, CALIBRATION_LIMIT_S)
    if "skipped" in answer:
        raise SettingsError(f"{way.model} cannot be measured here in {way.precision}: {answer['skipped']}")
    return _read_answer(answer)


def is_measured(path: Path, way: Way) -> bool:
    """Return True if a benchmark.json holds the cost of this Way. Raises SettingsError for another kind of file."""
    return bool(_read_boxes(path, way))


def read_measured(path: Path, way: Way) -> list[Measured]:
    """Return the boxes of a benchmark.json that were measured in this Way, smallest first.

    Raises SettingsError for another kind of file, or if it holds no such box.
    """
    measured = _read_boxes(path, way)
    if not measured:
        raise SettingsError(
            f"{path} holds no case of a {resolve_record(way.model).kind} network of this size in {way.precision}, "
            f"memory {way.memory}: measure one with `orbmm benchmark`, or leave out --from"
        )
    return measured


def _read_boxes(path: Path, way: Way) -> list[Measured]:
    try:
        rows: list[Row] = read_json(path, _LARGEST_BYTES)["rows"]
        fitting = [row for row in rows if _is_way(row, way) and "evaluation_s" in row]
        return sorted((_read_answer(row) for row in fitting), key=lambda each: each.edges)
    except (OSError, UnsafeFile, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{path} is no benchmark.json ({error}): make one with `orbmm benchmark`") from error


def _is_way(row: Row, way: Way) -> bool:
    """Return True if a row holds the cost of this Way: kind and size of the network must agree, weights need not.

    Rows of compiled and recorded networks and of Triton kernels do not count: an estimate is for plain execution.
    """
    if row.get("compile") or row.get("cuda_graphs") or row.get("kernels") in TRITON_KERNELS:
        return False
    theirs, ours = find_record(row["model"]), resolve_record(way.model)
    same_network = theirs.kind == ours.kind and theirs.architecture == ours.architecture
    ours_too = (way.precision, way.memory, way.edges_per_block)
    return same_network and (row["precision"], row["memory"], row.get("edges_per_block")) == ours_too


def _read_answer(answer: dict[str, Any]) -> Measured:
    """Return what a box costs. Raises KeyError, TypeError or ValueError for what is no such numbers."""
    found = Measured(answer["edges"], answer["evaluation_s"], answer.get("device_mb", answer["host_mb"]))
    if not (0 < found.edges < _TOO_MUCH and 0 < found.evaluation_s < _TOO_MUCH and 0 <= found.memory_mb < _TOO_MUCH):
        raise ValueError("no box costs what it says")
    return found


def predict(
    way: Way,
    measured: Sequence[Measured],
    edges: int,
    timestep_fs: float,
    free_mb: float,
    device: torch.device | None = None,
) -> Estimate:
    """Predict seconds from the line through the two largest boxes, memory from the largest box and the bytes per edge.

    A system smaller than all boxes takes as long as the quickest of them, which is an upper limit.

    device: where the network runs, which determines the block size; None: a CPU
    """
    largest = measured[-1]
    per_edge = largest.evaluation_s / largest.edges
    if len(measured) > 1 and largest.edges > measured[-2].edges:
        smaller = measured[-2]
        per_edge = (largest.evaluation_s - smaller.evaluation_s) / (largest.edges - smaller.edges)
    line = largest.evaluation_s + max(per_edge, 0.0) * (edges - largest.edges)
    seconds = max(line, min(each.evaluation_s for each in measured))  # below all boxes the line leads nowhere
    block = MemoryUse(way.edges_per_block).choose_block(
        resolve_record(way.model).architecture, device or torch.device("cpu")
    )
    grown = count_block_bytes(way, min(edges, block)) - count_block_bytes(way, min(largest.edges, block))
    saved = count_block_bytes(way, min(edges, block)) - count_block_bytes(way, min(edges, FEWEST_EDGES_PER_BLOCK))
    memory = largest.memory_mb + (grown + count_bytes_per_edge(way) * (edges - largest.edges)) / BYTES_PER_MB
    return Estimate(way, edges, seconds, timestep_fs, memory, free_mb, block_mb=max(saved, 0) / BYTES_PER_MB)


def count_block_bytes(way: Way, edges: int) -> int:
    """Return the bytes of the hidden values and features of a block; all blocks use the same memory."""
    size = resolve_record(way.model).architecture
    arrays = (size.mlp_depth + 3) * size.mlp_hidden_dim + 6 * size.latent_dim  # as MemoryUse.choose_block counts them
    return FEATURE_BYTES.get(way.precision, 4) * arrays * edges


def count_bytes_per_edge(way: Way) -> int:
    """Return the bytes that each edge needs at the peak.

    This includes its features (for conservative models, those of every layer) and its share of the needs of its atom.
    Memory "auto" is counted as "fast", the upper limit.
    """
    record = resolve_record(way.model)
    size = record.architecture
    features = FEATURE_BYTES.get(way.precision, 4) * size.latent_dim
    shared = GRAPH_BYTES_PER_EDGE + _count_bytes_per_atom(way) // count_edges_per_atom(record)
    if record.kind == "direct":
        return features + shared
    total = (size.layers + 2) * features + shared
    if way.memory != "lean":
        hidden = OPERAND_BYTES.get(way.precision, 4) * (size.mlp_depth * size.mlp_hidden_dim)
        total += (size.layers + 1) * (hidden + features)  # the encoder too
    return total


def _count_bytes_per_atom(way: Way) -> int:
    """Return the bytes that each atom needs in a layer: hidden values as sender and as receiver, features and sums."""
    size = resolve_record(way.model).architecture
    return FEATURE_BYTES.get(way.precision, 4) * (2 * size.mlp_hidden_dim + 6 * size.latent_dim)


def count_edges_per_atom(record: CheckpointRecord) -> int:
    """Return the number of neighbours of an atom in water within the cutoff, at most max_neighbors."""
    within = ATOMS_PER_ANGSTROM3 * 4 / 3 * math.pi * record.architecture.cutoff_angstrom**3
    return min(round(within), record.max_neighbors)


def choose(estimates: Sequence[Estimate]) -> Estimate | None:
    """Return the fastest estimate that fits in the first precision in which one fits, or None if nothing fits."""
    fitting = [estimate for estimate in estimates if estimate.fits]
    of_first = [estimate for estimate in fitting if estimate.way.precision == fitting[0].way.precision]
    return min(of_first, key=lambda estimate: estimate.step_s, default=None)


def iterate_estimates(
    ways: Sequence[Way], source: Path | None, machine: tuple[torch.device, int, float], edges: int, timestep_fs: float
) -> Iterator[Estimate]:
    """Yield an estimate for each Way as soon as it is known.

    source: a benchmark.json, None to measure now; machine: device, threads, and free memory [MB]
    """
    device, threads, free_mb = machine
    known = ways if source is None else [way for way in ways if is_measured(source, way)] or ways
    for way in known:
        measured = read_measured(source, way) if source is not None else calibrate(way, str(device), threads)
        yield predict(way, measured, edges, timestep_fs, free_mb, device)
