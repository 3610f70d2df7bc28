"""Measures orb-models in its own environment: `PEER-PYTHON peer_process.py REQUEST.json FOLDER`; needs nothing of orbmm.

Writes weights.ckpt (random numbers, as orb-models initialises itself), forces.npy and answer.json to the folder.
The graph is orb-models' own without its half-supercell shortcut, which loses edges in 0.5.5.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

CUTOFF_ANGSTROM = 6.0
SEED = 1


def build_model(request: dict[str, Any]) -> torch.nn.Module:
    """The official network with random weights, in float32."""
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.atomic_system import SystemConfig

    torch.manual_seed(SEED)
    build = getattr(pretrained, f"orb_v3_{request['kind']}_architecture")
    model = build(
        device=torch.device(request["device"]),
        has_stress=request["has_stress"],
        system_config=SystemConfig(radius=CUTOFF_ANGSTROM, max_num_neighbors=request["max_neighbors"]),
    )
    return model.eval().requires_grad_(False)


def measure(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Median seconds of the graph and of an evaluation with it; forces and weights go to the folder."""
    import ase
    from orb_models.forcefield.atomic_system import ase_atoms_to_atom_graphs

    torch.set_num_threads(request["threads"])
    model = build_model(request)
    torch.save(model.state_dict(), folder / "weights.ckpt")
    archive = np.load(request["atoms"])
    periodic = len(archive["cell"]) > 0
    atoms = ase.Atoms(
        archive["atomic_numbers"], archive["positions"], cell=archive["cell"] if periodic else None, pbc=periodic
    )

    def make_graph() -> Any:
        return ase_atoms_to_atom_graphs(atoms, model.system_config, half_supercell=False, device=request["device"])

    output = model.predict(make_graph())
    forces = output["grad_forces"] if "grad_forces" in output else output["forces"]
    np.save(folder / "forces.npy", forces.detach().double().cpu().numpy())
    graph_s, _ = take_time(make_graph, request["evaluations"], request["device"])
    evaluation_s, cpu_s = take_time(lambda: model.predict(make_graph()), request["evaluations"], request["device"])
    gpu = {} if request["device"] == "cpu" else {"device_mb": torch.cuda.max_memory_allocated() / 1e6}
    return gpu | {
        "package": f"orb-models {metadata.version('orb-models')}, torch {metadata.version('torch')}, not compiled",
        "graph_s": graph_s,
        "evaluation_s": evaluation_s,
        "evaluation_cpu_s": cpu_s,
        "host_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def take_time(work: Callable[[], object], calls: int, device: str) -> tuple[float, float]:
    """Median wall and CPU time of so many calls [s], after what ran before."""
    walls, cpus = [], []
    for _ in range(calls):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _folder = Path(sys.argv[2])
    _request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    (_folder / "answer.json").write_text(json.dumps(measure(_request, _folder)), encoding="utf-8")
