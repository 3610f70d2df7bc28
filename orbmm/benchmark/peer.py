"""Compare with a peer: the same structure, one process for each side; with orb-models, the same random weights too."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orbmm.benchmark.cases import Answer, Case, Job, build_atoms
from orbmm.benchmark.network_peer import NETWORK_PEERS, measure_network_peer
from orbmm.benchmark.run import Plan, Row, compare_forces, list_ways, measure_apart, run_apart
from orbmm.checkpoints.architecture import Architecture
from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.errors import ModelError, OrbmmError, SettingsError, name_nearest
from orbmm.model.inference.execution import Execution
from orbmm.model.precision import find_device

ORB_MODELS = "orb-models"
PEERS = (ORB_MODELS, *NETWORK_PEERS)


def check_peer(name: str, models: tuple[str, ...]) -> None:
    """Raise SettingsError for an unknown peer, ModelError for a model that the peer does not have."""
    if name not in PEERS:
        raise SettingsError(f"unknown peer '{name}': {name_nearest(name, PEERS)}")
    if name != ORB_MODELS:
        return
    for model in models:
        record = find_record(model)
        if record.takes_charge or record.architecture != Architecture(
            has_stress_head=record.architecture.has_stress_head
        ):
            raise ModelError(f"{name} is compared on its omat and mpa networks, and {model} is none of them")


def run_against_peer(
    plan: Plan, peer_python: Path | None, tell: Callable[[Row], None], peer: str = ORB_MODELS
) -> list[Row]:
    """Return a row for each case, model, precision and memory mode: both times, their ratio, and the force differences.

    peer_python: the Python of the environment with the peer; None: that of this process
    peer: one of PEERS; only the forces of orb-models are those of the same network, so only they are compared
    """
    rows: list[Row] = []
    for case in plan.cases:
        for model in plan.models:
            with tempfile.TemporaryDirectory(prefix="orbmm-peer-") as name:
                comparison = _Comparison(plan, find_record(model), Path(name), str(peer_python or sys.executable), peer)
                for row in comparison.iterate_rows(case):
                    rows.append({"case": case.name, "model": model, **row})
                    tell(rows[-1])
    return rows


@dataclass(frozen=True)
class _Comparison:
    """One model on one structure; folder: an empty folder; python: that of the peer; peer: its name."""

    plan: Plan
    record: CheckpointRecord
    folder: Path
    python: str
    peer: str = ORB_MODELS

    def iterate_rows(self, case: Case) -> Iterator[Row]:
        """Yield a row for each Way; the peer and our reference forces (float64) are computed only once."""
        ways = list(list_ways(self.plan, self.record.name))
        try:
            atoms = build_atoms(case)
        except OrbmmError as error:
            yield {"precision": ways[0][0], "skipped": str(error)}
            return
        atoms.save(self.folder / "atoms.npz")
        peer = self._measure_peer()
        is_same = self.peer == ORB_MODELS
        exact = self._measure_own("float64", "lean", 0) if is_same and "skipped" not in peer else {}
        for precision, memory in ways:
            execution = dataclasses.asdict(self.plan.execute_in(memory))
            row = {"precision": precision, **execution, "atoms": len(atoms.atomic_numbers)}
            own = self._measure_own(precision, memory, self.plan.evaluations) if "skipped" not in peer else peer
            yield row | (own if "skipped" in own else own | {"peer": peer} | self._compare(own, peer, exact))

    def _measure_peer(self) -> Answer:
        """Measure the peer; orb-models also writes the random weights that both sides load."""
        theirs = self.folder / "peer"
        if self.peer != ORB_MODELS:
            return measure_network_peer(self.plan, self.peer, self.python, self.folder / "atoms.npz", theirs)
        theirs.mkdir()
        request = {
            "atoms": str(self.folder / "atoms.npz"),
            "kind": self.record.kind,
            "has_stress": self.record.architecture.has_stress_head,
            "max_neighbors": self.record.max_neighbors,
            "device": self._device,
            "threads": self.plan.threads,
            "evaluations": self.plan.evaluations,
        }
        (theirs / "request.json").write_text(json.dumps(request), encoding="utf-8")
        script = str(Path(__file__).with_name("peer_process.py"))
        command = [self.python, script, str(theirs / "request.json"), str(theirs)]
        failure = run_apart(command, self.plan.threads, self.plan.limit_s)
        if failure:
            return {"skipped": f"orb-models: {failure}"}
        return json.loads((theirs / "answer.json").read_text(encoding="utf-8"))

    def _measure_own(self, precision: str, memory: str, evaluations: int) -> Answer:
        folder = self.folder / "float64" if not evaluations else self.folder / "own"
        folder.mkdir(exist_ok=True)
        atoms = str(self.folder / "atoms.npz")
        weights = str(self.folder / "peer" / "weights.ckpt") if self.peer == ORB_MODELS else "random"
        threads = self.plan.threads
        execution = self.plan.execute_in(memory) if evaluations else Execution(memory)
        job = Job(atoms, self.record.name, weights, precision, self._device, threads, evaluations, 0, "", execution)
        return measure_apart(job, folder, self.plan.limit_s)

    def _compare(self, own: Answer, peer: Answer, exact: Answer) -> Answer:
        ours, theirs, float64 = (self.folder / name / "forces.npy" for name in ("own", "peer", "float64"))
        memory = "device_mb" if "device_mb" in peer else "host_mb"
        ratios = {
            "speed_ratio": peer["evaluation_s"] / own["evaluation_s"],
            "cpu_time_ratio": peer["evaluation_cpu_s"] / own["evaluation_cpu_s"],
            "memory_ratio": own[memory] / peer[memory],
        }
        if self.peer != ORB_MODELS:
            return ratios
        errors = {}
        if "skipped" not in exact:
            for name, forces in (("own_error", ours), ("peer_error", theirs)):
                errors[f"{name}_mev_per_angstrom"] = compare_forces(forces, float64)["rms_difference_mev_per_angstrom"]
        return {**ratios, **compare_forces(ours, theirs), **errors}

    @property
    def _device(self) -> str:
        return str(find_device(self.plan.device))
