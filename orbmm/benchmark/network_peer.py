"""Measure another kind of network beside ours: the same structure, random weights on both sides, no common numbers."""

from __future__ import annotations

import json
from pathlib import Path

from orbmm.benchmark.cases import Answer
from orbmm.benchmark.run import Plan, run_apart
from orbmm.model.precision import find_device

NETWORK_PEERS = ("mace-torch", "sevenn", "mattersim")


def measure_network_peer(plan: Plan, name: str, python: str, atoms: Path, folder: Path) -> Answer:
    """Return the times and the memory of a peer on one structure, or the reason for skipping it.

    python: that of the environment of the peer; atoms: a file of Atoms.save; folder: where request and answer go
    """
    request = {
        "package": name,
        "atoms": str(atoms),
        "device": str(find_device(plan.device)),
        "threads": plan.threads,
        "evaluations": plan.evaluations,
    }
    folder.mkdir(exist_ok=True)
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    script = str(Path(__file__).with_name("network_peer_process.py"))
    failure = run_apart([python, script, str(folder / "request.json"), str(folder)], plan.threads, plan.limit_s)
    if failure:
        return {"skipped": f"{name}: {failure}"}
    return json.loads((folder / "answer.json").read_text(encoding="utf-8"))
