"""The official implementation beside ours: one structure, one set of random weights, one process for each side."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from orbmm.benchmark.cases import Case, build_atoms
from orbmm.benchmark.job import Answer, Job
from orbmm.benchmark.run import Plan, Row, compare_forces, measure_apart, run_apart
from orbmm.checkpoints.architecture import Architecture
from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.errors import ModelError, OrbmmError, SettingsError, name_nearest

PEERS = ("orb-models",)
PRECISION = "float32-highest"  # what orb-models computes with on a CPU


def check_peer(name: str, models: tuple[str, ...]) -> None:
    """Raise SettingsError for an unknown peer, ModelError for a model that it does not build."""
    if name not in PEERS:
        raise SettingsError(f"unknown peer '{name}': {name_nearest(name, PEERS)}")
    for model in models:
        record = find_record(model)
        if record.takes_charge or record.architecture != Architecture(
            has_stress_head=record.architecture.has_stress_head
        ):
            raise ModelError(f"{name} is compared on its omat and mpa networks, and {model} is none of them")


def run_against_peer(plan: Plan, peer_python: Path | None, tell: Callable[[Row], None]) -> list[Row]:
    """A row for each case and model: both times, their ratio, and how far the forces are apart.

    peer_python: the Python of the environment that holds orb-models; None: of this one.
    """
    rows = []
    for case in plan.cases:
        for model in plan.models:
            with tempfile.TemporaryDirectory(prefix="orbmm-peer-") as name:
                row = {"case": case.name, "model": model, "precision": PRECISION}
                try:
                    row |= _compare(plan, case, find_record(model), (str(peer_python or sys.executable), Path(name)))
                except OrbmmError as error:
                    row |= {"skipped": str(error)}
            rows.append(row)
            tell(row)
    return rows


def _compare(plan: Plan, case: Case, record: CheckpointRecord, place: tuple[str, Path]) -> Answer:
    """One row; place: the peer's Python and an empty folder."""
    python, folder = place
    atoms, ours, theirs = build_atoms(case), folder / "orbmm", folder / "peer"
    ours.mkdir()
    theirs.mkdir()
    atoms.save(folder / "atoms.npz")
    device = "cpu" if plan.device == "auto" else plan.device
    request = {
        "atoms": str(folder / "atoms.npz"),
        "kind": record.kind,
        "has_stress": record.architecture.has_stress_head,
        "max_neighbors": record.max_neighbors,
        "device": device,
        "threads": plan.threads,
        "evaluations": plan.evaluations,
    }
    (theirs / "request.json").write_text(json.dumps(request), encoding="utf-8")
    script = str(Path(__file__).with_name("peer_process.py"))
    failure = run_apart([python, script, str(theirs / "request.json"), str(theirs)], plan.threads, plan.limit_s)
    if failure:
        return {"atoms": len(atoms.atomic_numbers), "skipped": f"orb-models: {failure}"}
    peer = json.loads((theirs / "answer.json").read_text(encoding="utf-8"))
    weights, calls = str(theirs / "weights.ckpt"), plan.evaluations
    job = Job(request["atoms"], record.name, weights, PRECISION, device, plan.threads, calls, 0, "")
    own = measure_apart(job, ours, plan.limit_s)
    if "skipped" in own:
        return {"atoms": len(atoms.atomic_numbers), **own}
    return {
        "atoms": len(atoms.atomic_numbers),
        **own,
        "peer": peer,
        "speed_ratio": peer["evaluation_s"] / own["evaluation_s"],
        "cpu_time_ratio": peer["evaluation_cpu_s"] / own["evaluation_cpu_s"],
        "memory_ratio": own["host_mb"] / peer["host_mb"],
        **compare_forces(ours / "forces.npy", theirs / "forces.npy"),
    }
