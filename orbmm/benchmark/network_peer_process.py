"""Measure another network in its own environment, without orbmm: `PEER-PYTHON network_peer_process.py REQUEST FOLDER`.

Each has random weights, so nothing is downloaded, and a size that follows its row in the Orb-v3 paper (arXiv
2504.06231, Figure 2), not yet checked against the published files: mace-medium-mpa-0, SevenNet-l3i5 (that of
7net-mf-ompa, with one modality) and MatterSim v1 5M. Writes answer.json to the folder. Energies, forces and stress are
computed, as in that figure.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

SEED = 1
NEIGHBORS = 60.0  # a mean number of neighbours that scales messages; speed does not depend on it
ELEMENTS = 89


@dataclass(frozen=True)
class Peer:
    """A network and its own way to its input. label: the architecture, for the report."""

    label: str
    network: torch.nn.Module
    make_graph: Callable[[Any], Any]
    evaluate: Callable[[Any], Any]


def build_mace(device: str) -> Peer:
    """Return MACE of the size of mace-medium-mpa-0: cutoff 6 Å, 128 channels, L = 1, two layers, 89 elements."""
    torch.serialization.add_safe_globals([slice])  # e3nn 0.4 reads a table of its own that holds one
    from e3nn import o3
    from mace import data, modules
    from mace.tools import AtomicNumberTable, torch_geometric

    table = AtomicNumberTable(list(range(1, ELEMENTS + 1)))
    network = modules.ScaleShiftMACE(
        r_max=6.0,
        num_bessel=10,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=modules.interaction_classes["RealAgnosticDensityResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticDensityInteractionBlock"],
        num_interactions=2,
        num_elements=ELEMENTS,
        hidden_irreps=o3.Irreps("128x0e + 128x1o"),
        MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.zeros(ELEMENTS),
        avg_num_neighbors=NEIGHBORS,
        atomic_numbers=table.zs,
        correlation=3,
        radial_type="bessel",
        radial_MLP=[64, 64, 64],
        pair_repulsion=True,
        distance_transform="Agnesi",
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    ).to(device)

    def make_graph(atoms: Any) -> Any:
        graph = data.AtomicData.from_config(data.config_from_atoms(atoms), z_table=table, cutoff=6.0)
        return torch_geometric.Batch.from_data_list([graph]).to(device)

    return Peer(
        "mace-medium-mpa-0",
        network,
        make_graph,
        lambda graph: network(graph.to_dict(), compute_stress=True, training=False),
    )


def build_sevenn(device: str) -> Peer:
    """Return SevenNet of the size of 7net-l3i5: cutoff 6 Å, lmax 3, five layers, 128 channels, 89 elements."""
    from sevenn import _const, _keys
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.model_build import build_E3_equivariant_model
    from sevenn.train.dataload import unlabeled_atoms_to_graph
    from sevenn.util import chemical_species_preprocess

    config = dict(_const.DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG)
    config |= chemical_species_preprocess([], universal=True)
    config |= {
        _keys.CUTOFF: 6.0,
        _keys.NODE_FEATURE_MULTIPLICITY: 128,
        _keys.LMAX: 3,
        _keys.IRREPS_MANUAL: [
            "128x0e",
            *["128x0e+64x1e+32x2e+32x3e"] * 4,
            "128x0e",
        ],
        _keys.NUM_CONVOLUTION: 5,
        _keys.IS_PARITY: False,
        _keys.CONVOLUTION_WEIGHT_NN_HIDDEN_NEURONS: [64, 64],
        _keys.SELF_CONNECTION_TYPE: "linear",
        _keys.CONV_DENOMINATOR: [NEIGHBORS] * 5,
        _keys.SHIFT: 0.0,
        _keys.SCALE: 1.0,
    }
    network = build_E3_equivariant_model(config)
    network.set_is_batch_data(False)
    network.to(device)
    network.eval()

    def make_graph(atoms: Any) -> Any:
        return AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, 6.0)).to(device)

    return Peer("7net-l3i5", network, make_graph, network)


def build_mattersim(device: str) -> Peer:
    """Return MatterSim v1 of five million parameters: M3GNet, cutoff 5 Å, 4 Å for three-body terms."""
    from mattersim.datasets.utils.build import build_dataloader
    from mattersim.forcefield.m3gnet.m3gnet import M3Gnet
    from mattersim.forcefield.potential import Potential, batch_to_dict

    network = M3Gnet(num_blocks=4, units=256, device=device, cutoff=5.0, threebody_cutoff=4.0).to(device)
    potential = Potential(network, device=device)

    def make_graph(atoms: Any) -> Any:
        (batch,) = build_dataloader([atoms], cutoff=5.0, threebody_cutoff=4.0, batch_size=1, only_inference=True)
        return batch_to_dict(batch, device=device)

    return Peer(
        "MatterSim v1 5M",
        network,
        make_graph,
        lambda graph: potential(graph, include_forces=True, include_stresses=True),
    )


BUILDERS = {"mace-torch": build_mace, "sevenn": build_sevenn, "mattersim": build_mattersim}


def measure(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Measure the median seconds of the graph, and of a graph with an evaluation, in float32."""
    import ase

    torch.set_num_threads(request["threads"])
    torch.manual_seed(SEED)
    package, device = request["package"], request["device"]
    on_gpu = device != "cpu"
    peer = BUILDERS[package](device)
    archive = np.load(request["atoms"])
    periodic = len(archive["cell"]) > 0
    atoms = ase.Atoms(
        archive["atomic_numbers"], archive["positions"], cell=archive["cell"] if periodic else None, pbc=periodic
    )
    peer.evaluate(peer.make_graph(atoms))
    graph_s, _, _ = take_time(lambda: peer.make_graph(atoms), request["evaluations"], on_gpu)
    work = take_time(lambda: peer.evaluate(peer.make_graph(atoms)), request["evaluations"], on_gpu)
    return {
        "package": f"{package} {metadata.version(package)}, torch {metadata.version('torch')}, {peer.label}",
        "parameters": sum(weight.numel() for weight in peer.network.parameters()),
        "evaluations": request["evaluations"],
        "graph_s": graph_s,
        "evaluation_s": work[0],
        "evaluation_cpu_s": work[1],
        "evaluation_range_s": work[2],
        "host_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        **({"device_mb": torch.cuda.max_memory_allocated() / 1e6} if on_gpu else {}),
    }


def take_time(work: Callable[[], object], calls: int, on_gpu: bool) -> tuple[float, float, tuple[float, float]]:
    """Return the median wall time, the median CPU time and the range of wall times of so many calls [s]."""
    walls, cpus = [], []
    for _ in range(calls):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        if on_gpu:
            torch.cuda.synchronize()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus), (min(walls), max(walls))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _folder = Path(sys.argv[2])
    _request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    (_folder / "answer.json").write_text(json.dumps(measure(_request, _folder)), encoding="utf-8")
