"""Predict the time of a step on a GPU that is not here, from the operators, bytes, FLOPs and waits of its trace.

    python scripts/benchmarks/roofline.py --label after --to scripts/benchmarks/results/roofline.json

Nothing is timed. The formula, for each operator of the second step, whose pairs are kept:

    time on the GPU = bytes / (copy rate x POINTWISE), or for a product
                      max(FLOPs / (rate x PRODUCTS), bytes / (copy rate x POINTWISE))
    launched one by one: the host needs 6 microseconds for each operator; the GPU begins it once it is launched and the
                      one before is finished
    in a recording:   one launch for all; each takes 2 microseconds or more
    a wait:           the host goes on 15 microseconds after the GPU has finished everything

With --kernels fused, each kernel of the edge update is one operator whose bytes and FLOPs are those that
orbmm/model/inference/kernels/edge_update/traffic.py counts, with the rows of receivers read from memory and those of
senders, by which edges are sorted, from the cache. Its products reach FUSED of the rate.

OpenMM adds 0.75 ms. Rates are those of dense products and of copies that were measured on such cards.
The file holds one row for each label, number of atoms, precision and way of launching; other rows in it are kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from results_file import describe_run, write_results
from step_trace import Event, Trace, trace_gpu
from torch import Tensor

from orbmm.benchmark.cases import Atoms, build_water
from orbmm.checkpoints.architecture import Architecture
from orbmm.checkpoints.catalog import find_record
from orbmm.forces.description import ForceDescription
from orbmm.forces.evaluator import Evaluator
from orbmm.model.inference.edge_blocks import EdgeBlock
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.kernels.edge_update.protocol import (
    AtomParts,
    GateInputs,
    HiddenOutputs,
    MessageOutputs,
    NormWeights,
)
from orbmm.model.inference.kernels.edge_update.traffic import EdgeCost, count_edge_cost, count_encoder_cost
from orbmm.model.inference.kernels.plain import PlainKernels
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.inference.replay import Replay
from orbmm.model.load import make_network
from orbmm.model.potential import Potential
from orbmm.model.precision import Precision, find_precision
from orbmm.units import ANGSTROM_PER_NM

MODEL = "orb-v3-direct-inf-omat"
PRODUCTS, POINTWISE, FUSED = 0.88, 0.85, 0.75  # shares of the rates that cuBLAS, plain and fused kernels reach
LAUNCH_S, WAIT_S, RECORDED_S, OPENMM_S = 6e-6, 15e-6, 2e-6, 0.75e-3
DISPLACEMENT_NM = 1e-4  # between the two steps: far less than the skin


@dataclass(frozen=True)
class Card:
    """A GPU. copy: [byte/s]; half, tf32, double: dense products [FLOP/s]"""

    copy: float
    half: float = 790e12
    tf32: float = 395e12
    double: float = 60e12

    def compute_seconds(self, event: Event) -> float:
        """Seconds that the GPU works on an operator."""
        moving = event.moved / (self.copy * POINTWISE)
        rates = {"float16": self.half, "bfloat16": self.half, "float64": self.double}
        share = FUSED if event.fused else PRODUCTS
        return max(moving, event.flops / (rates.get(event.dtype, self.tf32) * share))


CARDS = {"H200": Card(copy=4.3e12), "H100": Card(copy=3.0e12)}


def predict_seconds(events: Iterable[Event], card: Card) -> float:
    """Seconds of a step: a queue that the host fills and the GPU empties, both in the order of the events."""
    host = gpu = 0.0
    for event in events:
        busy = card.compute_seconds(event)
        if event.recorded:
            gpu += max(busy, RECORDED_S)
            continue
        host += LAUNCH_S
        gpu = max(gpu, host) + busy
        if event.waits:
            host = max(host, gpu) + WAIT_S
    return max(host, gpu) + OPENMM_S


class CountedEdgeKernels:
    """Kernels of the fused edge update that compute nothing: each is one event of the trace."""

    def __init__(self, trace: Trace, architecture: Architecture, precision: Precision) -> None:
        self._trace, self._dtype = trace, precision.operands or precision.dtype
        self._layer = count_edge_cost(architecture, self._dtype.itemsize)
        self._encoder = count_encoder_cost(architecture, self._dtype.itemsize)

    def start(self, values: Tensor, matrix: Tensor, added: AtomParts | Tensor, outputs: HiddenOutputs) -> None:
        """See EdgeKernels.start."""
        costs = self._layer if isinstance(added, AtomParts) else self._encoder
        self._note("start", costs["start"], len(values))

    def multiply(self, active: Tensor, matrix: Tensor, bias: Tensor, hidden: Tensor) -> None:
        """See EdgeKernels.multiply; it is a product of cuBLAS."""
        self._note("multiply", self._layer["multiply"], len(active))

    def encode(self, hidden: Tensor, weights: NormWeights, edges: Tensor, raw: Tensor | None) -> None:
        """See EdgeKernels.encode."""
        self._note("encode", self._encoder["encode"], len(hidden))

    def finish(
        self, hidden: Tensor, weights: NormWeights, gate: GateInputs, outputs: MessageOutputs, raw: Tensor | None
    ) -> None:
        """See EdgeKernels.finish."""
        self._note("finish", self._layer["finish"], len(hidden))

    def add_messages(self, message: Tensor, gates: Tensor, block: EdgeBlock, totals: tuple[Tensor, Tensor]) -> None:
        """See EdgeKernels.add_messages."""
        self._note("add_messages", self._layer["add_messages"], len(message))

    def _note(self, kernel: str, cost: EdgeCost, edges: int) -> None:
        moved = edges * (cost.moved + cost.gathered // 2)
        name = str(self._dtype).removeprefix("torch.")
        self._trace.note(Event(kernel, moved, edges * cost.flops, name, fused=kernel != "multiply"))


def make_potential(precision: str, recorded: bool, fused: Trace | None) -> Potential:
    """The network with untrained weights on the stand-in. fused: the trace that lists fused kernels; None: separate."""
    record, arithmetic, device = find_record(MODEL), find_precision(precision), torch.device("cuda:0")
    network = make_network(record).eval().requires_grad_(False).to(device, arithmetic.dtype)
    edges = None if fused is None else CountedEdgeKernels(fused, record.architecture, arithmetic)
    engine = Engine(network, arithmetic, MemoryUse(), device, PlainKernels(edges))
    predictor = Replay(engine, record.architecture.cutoff_angstrom, device) if recorded else engine
    return Potential(record, network, "0" * 64, device, arithmetic, "kd_tree", predictor)


def trace_step(atoms: Atoms, precision: str, recorded: bool, fused: bool) -> Trace:
    """The trace of the second step, which neither searches nor records."""
    numbers = tuple(int(number) for number in atoms.atomic_numbers)
    with trace_gpu() as trace:
        description = ForceDescription(
            MODEL, "0" * 64, device="cuda:0", precision=precision, atomic_numbers=numbers, atoms=None, periodic=True
        )
        evaluator = Evaluator(make_potential(precision, recorded, trace if fused else None), description)
        for step in range(2):
            positions, box = _put_on_device(atoms, step * DISPLACEMENT_NM)
            trace.events.clear()
            evaluator.evaluate(positions, box)
    if evaluator._neighbors.searches != 1:
        raise RuntimeError(f"the second step searched again ({evaluator._neighbors.searches} searches)")
    return trace


def _put_on_device(atoms: Atoms, moved_nm: float) -> tuple[Tensor, Tensor]:
    """Positions (N, 3) and box (3, 3) [nm] in float32, as OpenMM gives them on a GPU."""
    positions = torch.from_numpy(atoms.positions / ANGSTROM_PER_NM)
    positions[::7, 0] += moved_nm
    box = torch.from_numpy(atoms.cell / ANGSTROM_PER_NM)
    return positions.to("cuda:0", torch.float32), box.to("cuda:0", torch.float32)


def summarize(trace: Trace) -> dict[str, Any]:
    """Counts of a step, the memory of both steps with their search, and the predicted time on each card [ms]."""
    events = trace.events
    return {
        "operators": sum(not event.recorded for event in events),
        "recorded_operators": sum(event.recorded for event in events),
        "waits": sum(event.waits for event in events),
        "moved_gb": round(sum(event.moved for event in events) / 1e9, 2),
        "tflop": round(sum(event.flops for event in events) / 1e12, 3),
        "peak_gb": round(trace.peak / 1e9, 2),
        "predicted_ms": {name: round(1e3 * predict_seconds(events, card), 2) for name, card in CARDS.items()},
    }


def write_row(path: Path | None, about: dict[str, Any], row: dict[str, Any]) -> None:
    """Put a row into the file, in place of one with the same label, atoms, precision and way of launching."""
    if path is None:
        return
    old = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    same = ("label", "atoms", "precision", "recorded", "kernels")
    rows = [each for each in old if any(each.get(key, "separate") != row[key] for key in same)] + [row]
    rates = {
        "products": PRODUCTS,
        "pointwise": POINTWISE,
        "fused": FUSED,
        "cards": {name: asdict(card) for name, card in CARDS.items()},
    }
    delays = {"launch_s": LAUNCH_S, "wait_s": WAIT_S, "recorded_s": RECORDED_S, "openmm_s": OPENMM_S}
    write_results(path, about, {"measured": False, "model": MODEL, "inputs": rates | delays, "rows": rows})


def main() -> None:
    """Trace, predict, and print one line of a Markdown table for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, nargs="+", default=[999, 25_806])
    parser.add_argument("--precision", nargs="+", default=["float16", "float32-high"])
    parser.add_argument("--launch", nargs="+", choices=["eager", "recorded"], default=["eager", "recorded"])
    parser.add_argument("--kernels", nargs="+", choices=["separate", "fused"], default=["separate"])
    parser.add_argument("--label", required=True, help="names the state of the code, such as 'after'")
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    about = describe_run(threads=1)
    print("| atoms | precision | kernels | launched | operators | waits | GB | TFLOP | peak GB | H200 ms | H100 ms |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    ways = product(arguments.atoms, arguments.precision, arguments.kernels, arguments.launch)
    for count, precision, kernels, launch in ways:
        found = summarize(trace_step(build_water(count // 3), precision, launch == "recorded", kernels == "fused"))
        kind = {"label": arguments.label, "atoms": count, "precision": precision, "recorded": launch != "eager"}
        write_row(arguments.to, about, kind | {"kernels": kernels} | found)
        values = [found[key] for key in ("operators", "waits", "moved_gb", "tflop", "peak_gb")]
        print("|", *(f"{each} |" for each in (count, precision, kernels, launch, *values)), end=" ")
        print(*(f"{value} |" for value in found["predicted_ms"].values()), flush=True)


if __name__ == "__main__":
    main()
