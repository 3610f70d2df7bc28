"""Remove the net force of direct forces, and their net torque for systems without a cell."""

from __future__ import annotations

import torch
from torch import Tensor

from orbmm.model.network.atom_graph import AtomGraph


def subtract_mean_force(forces: Tensor, graph: AtomGraph) -> Tensor:
    """Shift the forces (N, 3) [eV/Å] of every system so that they sum to zero."""
    return forces - graph.mean_atoms(forces)[graph.system]


def remove_net_torque(forces: Tensor, graph: AtomGraph) -> Tensor:
    """Remove the net torque from forces (N, 3) [eV/Å] with the smallest possible change (least squares).

    The change of an atom at r from the centre is r x m, with one vector m per system. Its torque,
    sum r x (r x m) = (sum r r^T - sum r^2 1) m, must cancel the net torque. If all atoms lie on a line, m along the
    line is undetermined; the pseudo-inverse sets it to zero.
    """
    arms = graph.positions - graph.mean_atoms(graph.positions)[graph.system]  # (N, 3)
    torque = graph.sum_atoms(torch.linalg.cross(arms, forces))  # (B, 3)
    outer = graph.sum_atoms(arms[:, :, None] * arms[:, None, :])  # (B, 3, 3)
    spread = outer.diagonal(dim1=1, dim2=2).sum(dim=1)  # (B,)
    inertia = outer - spread[:, None, None] * torch.eye(3, dtype=forces.dtype, device=forces.device)  # (B, 3, 3)
    twist = -(torch.linalg.pinv(inertia, hermitian=True) @ torque[:, :, None])[:, :, 0]  # (B, 3)
    return forces + torch.linalg.cross(arms, twist[graph.system])
