"""Measure orb-models in its own environment, without orbmm: `PEER-PYTHON peer_process.py REQUEST.json FOLDER`.

Writes weights.ckpt (random numbers, as orb-models initialises itself), forces.npy and answer.json to the folder.
The graph is that of orb-models without its half-supercell shortcut, which loses edges in 0.5.5.
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
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

CUTOFF_ANGSTROM = 6.0
SEED = 1
MakeGraph = Callable[[Any], Any]
"""A function that converts ASE's atoms to the official graph."""


def build_old(request: dict[str, Any]) -> tuple[Any, MakeGraph]:
    """Return network and graph function of orb-models 0.5."""
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.atomic_system import SystemConfig, ase_atoms_to_atom_graphs

    config = SystemConfig(radius=CUTOFF_ANGSTROM, max_num_neighbors=request["max_neighbors"])
    build = getattr(pretrained, f"orb_v3_{request['kind']}_architecture")
    model = build(device=torch.device(request["device"]), has_stress=request["has_stress"], system_config=config)

    def make_graph(atoms: Any) -> Any:
        return ase_atoms_to_atom_graphs(atoms, model.system_config, half_supercell=False, device=request["device"])

    return model, make_graph


def build_new(request: dict[str, Any]) -> tuple[Any, MakeGraph]:
    """Return network and graph function of orb-models 0.6 and 0.7.

    The repulsion of conservative v3 models is set to a mean over atoms, as the loaders of orb-models do.
    """
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.forcefield_adapter import ForcefieldAtomsAdapter

    adapter = ForcefieldAtomsAdapter(radius=CUTOFF_ANGSTROM, max_num_neighbors=request["max_neighbors"])
    build = getattr(pretrained, f"orb_v3_{request['kind']}_architecture")
    model = build(device=torch.device(request["device"]), has_stress=request["has_stress"])
    if request["kind"] == "conservative":
        model.pair_repulsion_fn.node_aggregation = "mean"

    def make_graph(atoms: Any) -> Any:
        return adapter.from_ase_atoms(atoms, half_supercell=False, device=request["device"]).to(request["device"])

    return model, make_graph


def build_model(request: dict[str, Any]) -> tuple[Any, MakeGraph]:
    """Return the official network with random weights, in float32, and its graph function."""
    torch.manual_seed(SEED)
    old = find_spec("orb_models.forcefield.atomic_system") is not None
    model, make_graph = build_old(request) if old else build_new(request)
    return model.eval().requires_grad_(False), make_graph


def measure(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Measure the median seconds of the graph and of an evaluation with it; write forces and weights to the folder.

    On a GPU the network is compiled and may use TF32, as the loaders of orb-models set it.
    """
    import ase

    torch.set_num_threads(request["threads"])
    on_gpu = request["device"] != "cpu"
    model, make_graph = build_model(request)
    torch.save(model.state_dict(), folder / "weights.ckpt")
    if on_gpu:
        torch.set_float32_matmul_precision("high")
        model.compile(mode="default", dynamic=True)
    archive = np.load(request["atoms"])
    periodic = len(archive["cell"]) > 0
    atoms = ase.Atoms(
        archive["atomic_numbers"], archive["positions"], cell=archive["cell"] if periodic else None, pbc=periodic
    )
    output = model.predict(make_graph(atoms))
    forces = output["grad_forces"] if "grad_forces" in output else output["forces"]
    np.save(folder / "forces.npy", forces.detach().double().cpu().numpy())
    graph_s, _, _ = take_time(lambda: make_graph(atoms), request["evaluations"], request["device"])
    evaluation_s, cpu_s, range_s = take_time(
        lambda: model.predict(make_graph(atoms)), request["evaluations"], request["device"]
    )
    how = "compiled, float32-high" if on_gpu else "not compiled"
    return {
        "package": f"orb-models {metadata.version('orb-models')}, torch {metadata.version('torch')}, {how}",
        "evaluations": request["evaluations"],
        "graph_s": graph_s,
        "evaluation_s": evaluation_s,
        "evaluation_range_s": range_s,
        "evaluation_cpu_s": cpu_s,
        "host_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        **({"device_mb": torch.cuda.max_memory_allocated() / 1e6} if on_gpu else {}),
    }


def take_time(work: Callable[[], object], calls: int, device: str) -> tuple[float, float, tuple[float, float]]:
    """Return the median wall time, the median CPU time and the range of wall times of so many calls [s]."""
    walls, cpus = [], []
    for _ in range(calls):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus), (min(walls), max(walls))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _folder = Path(sys.argv[2])
    _request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    (_folder / "answer.json").write_text(json.dumps(measure(_request, _folder)), encoding="utf-8")
