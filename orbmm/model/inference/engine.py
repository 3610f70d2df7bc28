"""A network ready for inference: what Orb.forward gives, with fewer operations and in less memory."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

import torch
from torch import Tensor
from torch.profiler import record_function

from orbmm.errors import ModelError
from orbmm.model.inference.edge_blocks import EdgeBlock, cut_into_blocks, cut_into_fixed_blocks
from orbmm.model.inference.free_memory import read_free_bytes
from orbmm.model.inference.kernels.choose import choose_kernels
from orbmm.model.inference.memory import Keep, MemoryUse
from orbmm.model.inference.network_pass import NetworkPass
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.orb import ConservativeOrb, DirectOrb, Orb, Prediction
from orbmm.model.precision import Precision


class Predictor(Protocol):
    """What can stand in for a network's own forward."""

    def predict(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Orb.forward; without a gradient to weights or coordinates."""
        ...


class Engine:
    """Predicts what a network predicts; its weights are taken over when it is made, those of the heads at each call.

    Nothing is kept between predictions, so threads may share it.
    """

    def __init__(
        self,
        network: Orb,
        precision: Precision,
        memory: MemoryUse,
        device: torch.device,
        kernels: str = "auto",
    ) -> None:
        self._network, self._memory, self._precision = network, memory, precision
        self._edges_per_block = memory.choose_block(network.architecture, device)
        self._pass = NetworkPass(network.model, precision, choose_kernels(kernels, device))

    def predict(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Orb.forward; without a gradient to weights or coordinates."""
        with torch.no_grad(), torch.cuda.device_of(graph.vectors):  # Triton launches where torch is
            blocks = cut_into_blocks(*self._ends(graph), self._edges_per_block)
            bonds = self._network.repulsion.take_close_edges(graph)
            prediction = self._predict(graph, bonds, blocks, outputs, self.choose_kept(graph, outputs))
        self.refuse_overflow(prediction)
        return prediction

    def launch(self, graph: AtomGraph, outputs: AbstractSet[str], keep: Sequence[Keep]) -> Prediction:
        """The same, but what is done depends on the shapes of the graph alone, and the host waits for no number: so a
        GPU can record it; not so where asks_host. Overflow goes unseen. keep: of choose_kept."""
        with torch.no_grad():
            blocks = cut_into_fixed_blocks(*self._ends(graph), self._edges_per_block)
            return self._predict(graph, graph, blocks, outputs, keep)

    def asks_host(self, graph: AtomGraph) -> bool:
        """Whether the network cannot do without: the net torque of a system without a cell is removed by an inverse."""
        network = self._network
        return isinstance(network, DirectOrb) and network.oddities.removes_net_torque and graph.volumes is None

    def choose_kept(self, graph: AtomGraph, outputs: AbstractSet[str], free_bytes: int | None = None) -> list[Keep]:
        """What stays of the encoder and of each layer for the way back, by the memory that is free (None: now, on the
        graph's device); none for a direct network or energies alone."""
        if isinstance(self._network, DirectOrb) or outputs.isdisjoint({"forces", "stress"}):
            return []
        device = graph.vectors.device
        bytes_each = self._precision.stored_operands(device).itemsize
        return self._memory.choose_kept(
            self._network.architecture,
            len(graph.senders),
            bytes_each,
            lambda: read_free_bytes(device) if free_bytes is None else free_bytes,
        )

    def refuse_overflow(self, prediction: Prediction) -> None:
        """ModelError where float16 has led to infinity or NaN: its largest number is 65,504."""
        if self._precision.operands != torch.float16:
            return
        results = (prediction.energy, prediction.forces, prediction.stress, prediction.confidence)
        if all(bool(torch.isfinite(result).all()) for result in results if result is not None):
            return
        raise ModelError(
            "the network gave NaN or infinity in float16, whose largest number is 65504: choose bfloat16 or float32-high; "
            "if it gives NaN there too, the structure is far from anything it was trained on"
        )

    def _ends(self, graph: AtomGraph) -> tuple[Tensor, Tensor, int]:
        return graph.senders, graph.receivers, len(graph.atomic_numbers)

    def _predict(
        self,
        graph: AtomGraph,
        bonds: AtomGraph,
        blocks: list[EdgeBlock],
        outputs: AbstractSet[str],
        keep: Sequence[Keep],
    ) -> Prediction:
        network, slope = self._network, None
        if keep:
            nodes, slope = self._differentiate(graph, blocks, keep)
        else:
            nodes = self._pass.run(graph, blocks)
        with record_function("orbmm: heads"):
            if isinstance(network, DirectOrb):
                return network.read_out(nodes, graph, bonds, outputs)
            if isinstance(network, ConservativeOrb):
                return network.read_out(nodes, slope, graph, bonds, outputs)
            raise TypeError(f"no engine for {type(network).__name__}")

    def _differentiate(self, graph: AtomGraph, blocks: list[EdgeBlock], keep: Sequence[Keep]) -> tuple[Tensor, Tensor]:
        """Node features (N, D), and the derivative of the energy without repulsion by the edge vectors (E, 3)."""
        nodes, trace = self._pass.run_and_trace(graph, blocks, keep)
        with torch.enable_grad(), record_function("orbmm: heads"):
            leaf = nodes.detach().requires_grad_(True)
            (by_nodes,) = torch.autograd.grad(self._network.heads["energy"](leaf, graph).sum(), leaf)
        return nodes, self._pass.pull_back(by_nodes, graph.vectors, trace)
