"""A network prepared for inference: the results of Orb.forward, with fewer operations and less memory."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

import torch
from torch import Tensor
from torch.profiler import record_function

from orbmm.errors import ModelError
from orbmm.model.inference.allocator import count_kept_bytes
from orbmm.model.inference.edge_blocks import EdgeBlock, cut_into_blocks, cut_into_fixed_blocks
from orbmm.model.inference.free_memory import FreeMemory, read_free_bytes
from orbmm.model.inference.kernels.choose import choose_kernels
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.inference.memory import Keep, MemoryUse
from orbmm.model.inference.network_pass import NetworkPass
from orbmm.model.network.atom_graph import AtomGraph
from orbmm.model.network.orb import ConservativeOrb, DirectOrb, Orb, Prediction
from orbmm.model.precision import Precision


class Predictor(Protocol):
    """The interface that can replace the forward method of a network."""

    def predict(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Orb.forward; the results are not differentiable."""
        ...


class Engine:
    """Compute the predictions of a network.

    Weights are read when the engine is made and again after a change in place; those of the heads at each call.
    Nothing else is kept between predictions, so threads may share an engine.
    """

    def __init__(
        self,
        network: Orb,
        precision: Precision,
        memory: MemoryUse,
        device: torch.device,
        kernels: str | Kernels = "auto",
    ) -> None:
        self._network, self._memory, self._precision = network, memory, precision
        self._device, self._kernels = device, kernels
        self._edges_per_block = memory.choose_block(network.architecture, device)
        kept_bytes = count_kept_bytes if device.type == "cpu" else int
        self._free_memory = FreeMemory(lambda: read_free_bytes(device) + kept_bytes())
        self._weights = list(network.model.parameters())
        self._read_weights()

    def __reduce__(self) -> tuple[type[Engine], tuple[object, ...]]:
        """Make copies from the same arguments, so that a copy reads the weights of its own network."""
        return Engine, (self._network, self._precision, self._memory, self._device, self._kernels)

    def _read_weights(self) -> None:
        versions = [weight._version for weight in self._weights]
        self._pass = NetworkPass(
            self._network.model, self._precision, choose_kernels(self._kernels, self._device, self._precision)
        )
        self._versions = versions

    def read_changed_weights(self) -> bool:
        """Read the weights again if they were changed in place since; return True then. Costs no work on a GPU."""
        if self._versions == [weight._version for weight in self._weights]:
            return False
        self._read_weights()
        return True

    def predict(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Orb.forward; the results are not differentiable. Raises ModelError for an overflow in float16."""
        with torch.no_grad(), torch.cuda.device_of(graph.vectors):  # Triton launches on the current device of torch
            self.read_changed_weights()
            blocks = cut_into_blocks(*self._ends(graph), self._edges_per_block)
            bonds = self._network.repulsion.take_close_edges(graph)
            prediction = self._predict(graph, bonds, blocks, outputs, self.choose_kept(graph, outputs))
        self.refuse_overflow(prediction)
        return prediction

    def launch(
        self, graph: AtomGraph, outputs: AbstractSet[str], keep: Sequence[Keep], bonds: AtomGraph | None = None
    ) -> Prediction:
        """Predict with operations that depend only on the shapes of the graph, without waiting for a value on the host.

        A GPU can therefore record them, except where asks_host is true. Overflow is not detected.
        keep: the result of choose_kept; bonds: the graph with at least the edges that repel, None for all edges
        """
        with torch.no_grad():
            blocks = cut_into_fixed_blocks(*self._ends(graph), self._edges_per_block)
            return self._predict(graph, graph if bonds is None else bonds, blocks, outputs, keep)

    @property
    def weights_read(self) -> list[int]:
        """Return the versions of the weights that were read last: another list after each reading."""
        return self._versions

    def asks_host(self, periodic: bool) -> bool:
        """Return True if the network needs a value on the host, to remove the net torque of a system without a cell."""
        network = self._network
        return isinstance(network, DirectOrb) and network.oddities.removes_net_torque and not periodic

    def choose_kept(self, graph: AtomGraph, outputs: AbstractSet[str], free_bytes: int | None = None) -> list[Keep]:
        """Return what is kept of the encoder and of each layer for the backward pass.

        free_bytes: memory to use, None for what is free on the device, read once in a while
        The list is empty for a direct network, and for outputs without forces and stress.
        """
        if isinstance(self._network, DirectOrb) or outputs.isdisjoint({"forces", "stress"}):
            return []
        edges = len(graph.senders)
        bytes_each = self._precision.stored_operands(graph.vectors.device).itemsize
        return self._memory.choose_kept(
            self._network.architecture,
            edges,
            bytes_each,
            lambda: self._free_memory.find_bytes(edges * bytes_each) if free_bytes is None else free_bytes,
        )

    def refuse_overflow(self, prediction: Prediction) -> None:
        """Raise ModelError if float16, whose largest number is 65,504, has led to infinity or NaN."""
        if self._precision.operands != torch.float16:
            return
        results = (prediction.energy, prediction.forces, prediction.stress, prediction.confidence)
        if all(bool(torch.isfinite(result).all()) for result in results if result is not None):
            return
        raise ModelError(
            "the network gave NaN or infinity in float16, whose largest number is 65504: choose bfloat16 or "
            "float32-high; if it gives NaN there too, the structure is far from the training data"
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
        network, gradient = self._network, None
        if keep:
            nodes, gradient = self._differentiate(graph, blocks, keep)
        else:
            nodes = self._pass.run(graph, blocks)
        with record_function("orbmm: heads"):
            if isinstance(network, DirectOrb):
                return network.read_out(nodes, graph, bonds, outputs)
            if isinstance(network, ConservativeOrb):
                return network.read_out(nodes, gradient, graph, bonds, outputs)
            raise TypeError(f"no engine for {type(network).__name__}")

    def _differentiate(self, graph: AtomGraph, blocks: list[EdgeBlock], keep: Sequence[Keep]) -> tuple[Tensor, Tensor]:
        """Return node features (N, D), and the gradient (E, 3) of the energy without repulsion by the edge vectors."""
        nodes, trace = self._pass.run_and_trace(graph, blocks, keep)
        with torch.enable_grad(), record_function("orbmm: heads"):
            leaf = nodes.detach().requires_grad_(True)
            (grad_nodes,) = torch.autograd.grad(self._network.heads["energy"](leaf, graph).sum(), leaf)
        return nodes, self._pass.backward(grad_nodes, graph.vectors, trace)
