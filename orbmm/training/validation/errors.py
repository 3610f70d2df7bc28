"""Errors of a network on labelled frames: a table by group, and the confidence beside the true error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from orbmm.model.network.orb import Orb
from orbmm.training.data.batches import LabelledGraph, join_graphs
from orbmm.training.device import locate
from orbmm.training.parallel import map_over_processes

OLD_DOMAIN = "old domain"
"""Name of the held-out frames of the replay in a table of errors."""


@dataclass(frozen=True)
class Errors:
    """Mean errors on some frames.

    frames, atoms: how many
    energy_mev_per_atom, forces_mev_per_angstrom: mean absolute errors; forces_rms_mev_per_angstrom: root mean square
    stress_mev_per_cubic_angstrom: mean absolute error of its components; None without labels
    expected_mev_per_angstrom: the mean force error that the confidence head expects; None without such a head
    """

    frames: int
    atoms: int
    energy_mev_per_atom: float
    forces_mev_per_angstrom: float
    forces_rms_mev_per_angstrom: float
    stress_mev_per_cubic_angstrom: float | None
    expected_mev_per_angstrom: float | None


@dataclass(frozen=True)
class FrameErrors:
    """Errors of one frame, prediction minus label.

    energy: [eV/atom]; forces: (N, 3) [eV/Å]; stress: (6,) [eV/Å^3] or None; expected: (N,) [eV/Å] or None
    """

    energy: float
    forces: Tensor
    stress: Tensor | None
    expected: Tensor | None


def validate(network: Orb, graphs: Sequence[LabelledGraph]) -> dict[str, Errors]:
    """Return the errors on all graphs, under "all", and on those of each group, if there are several."""
    found = map_over_processes(lambda graph: compare_frame(network, graph), graphs)
    groups = sorted({graph.group for graph in graphs})
    table = {"all": _average(found)}
    if len(groups) > 1:
        for group in groups:
            table[group] = _average([one for one, graph in zip(found, graphs, strict=True) if graph.group == group])
    return table


def compare_frame(network: Orb, graph: LabelledGraph) -> FrameErrors:
    """Return the errors of a network on one frame; the expected ones are those of its confidence head."""
    batch = join_graphs([graph]).to(locate(network))
    outputs = {"energy", "forces"} | ({"confidence"} & set(network.heads))
    has_stress = bool(torch.isfinite(batch.stress).all()) and "stress" in network.available_outputs
    was_training = network.training
    network.eval()
    prediction = network(batch.graph, frozenset(outputs | ({"stress"} if has_stress else set())))
    network.train(was_training)
    expected = None
    if prediction.confidence is not None:
        edges = network.get_buffer("heads.confidence.bin_edges")
        expected = (prediction.confidence.detach() @ (0.5 * (edges[1:] + edges[:-1]))).cpu()
    return FrameErrors(
        energy=float((prediction.energy - batch.energies).detach()) / len(graph.atomic_numbers),
        forces=(prediction.forces.detach() - batch.forces).cpu(),
        stress=(prediction.stress.detach() - batch.stress)[0].cpu() if has_stress else None,
        expected=expected,
    )


def _average(found: Sequence[FrameErrors]) -> Errors:
    forces = torch.cat([one.forces for one in found]).double()
    stresses = [one.stress for one in found if one.stress is not None]
    expected = [one.expected for one in found if one.expected is not None]
    return Errors(
        frames=len(found),
        atoms=len(forces),
        energy_mev_per_atom=1000.0 * sum(abs(one.energy) for one in found) / len(found),
        forces_mev_per_angstrom=1000.0 * float(forces.abs().mean()),
        forces_rms_mev_per_angstrom=1000.0 * float((forces**2).mean().sqrt()),
        stress_mev_per_cubic_angstrom=1000.0 * float(torch.stack(stresses).abs().mean()) if stresses else None,
        expected_mev_per_angstrom=1000.0 * float(torch.cat(expected).mean()) if expected else None,
    )
