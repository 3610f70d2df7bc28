"""Energies stay exact where a GPU multiplies in TF32: emulated by cutting the operands of every product to 10 bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.random_weights import make_random_potential
from oracles.structures import MAKERS
from oracles.tf32 import TensorFloat32, cut, heads_in_tf32

from orbmm.model.load import load_model
from orbmm.model.potential import Potential

EMBEDDED = ("orb-mini-direct-inf-xtb", "orb-mini-conservative-inf-xtb")


def predict_frames(potential: Potential, frames: int = 6) -> np.ndarray:
    """The energy per atom of some frames of water that differ by a step of dynamics [meV]."""
    structure = MAKERS["water_cube"]()
    random = np.random.default_rng(1)
    energies = []
    for _ in range(frames):
        moved = structure.positions + random.normal(scale=0.003, size=structure.positions.shape)
        energies.append(potential.predict(structure.atomic_numbers, moved, structure.cell).energy)
    return np.array(energies) / len(structure.positions) * 1000


def jitter(name: str, precision: str, engine: bool) -> float:
    """The spread of the error of the energy from frame to frame, of products in TF32 against float64 [meV/atom]."""
    exact = predict_frames(load_model(name, device="cpu", precision="float64"))
    potential = load_model(name, device="cpu", precision=precision)
    if not engine:
        potential = replace(potential, engine=None)
    with TensorFloat32() as emulation:
        rounded = predict_frames(potential)
    assert emulation.products > 100
    return float(np.std(rounded - exact))


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_energy_jumps_less_than_with_a_head_in_tf32(name: str) -> None:
    jitters = [jitter(name, "float32-high", engine) for engine in (True, False)]
    with heads_in_tf32():
        careless = jitter(name, "float32-high", engine=True)
    assert max(jitters) < 0.5 * careless


@pytest.mark.parametrize("name", ["orb-v3-direct-inf-omat", "orb-v3-conservative-inf-omat", "orb-v3-direct-omol"])
def test_heads_and_repulsion_hold_no_product_in_tf32(name: str) -> None:
    potential = make_random_potential(name)
    network = potential.network.to(torch.float32)
    structure = MAKERS["water_cube"]()
    charge = (0, 1) if potential.record.takes_charge else (None, None)
    composition = potential.compose(structure.atomic_numbers, *charge)
    positions, cell = torch.from_numpy(structure.positions), torch.from_numpy(structure.cell)
    graph = potential.make_graph(composition, positions, cell, potential.find_edges(positions, cell))
    graph = replace(graph, vectors=graph.vectors.float(), cells=graph.cells.float(), positions=positions.float())
    nodes = torch.randn(len(positions), network.architecture.latent_dim, generator=torch.Generator().manual_seed(0))

    def read_out() -> list[torch.Tensor]:
        heads = [
            head(nodes, graph) if name in ("energy", "stress") else head(nodes) for name, head in network.heads.items()
        ]
        return [*heads, network.repulsion(graph, graph.vectors)]

    with torch.no_grad():
        exact = read_out()
        with TensorFloat32() as emulation:
            rounded = read_out()
            assert emulation.products == 0
            network.heads["energy"].mlp.first(nodes)
            assert emulation.products == 1  # the emulation sees a product where there is one
    assert all(torch.equal(one, other) for one, other in zip(exact, rounded, strict=True))


def test_ten_bits_are_kept() -> None:
    values = torch.tensor([1.0 + 2.0**-10, 1.0 + 2.0**-11, -(1.0 + 2.0**-11), 3.0])
    assert cut(values).tolist() == [1.0 + 2.0**-10, 1.0, -1.0, 3.0]
