"""A network ready for inference: what Orb.forward gives, with fewer operations and in less memory."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import torch
from torch import Tensor
from torch.profiler import record_function

from orbmm.errors import ModelError
from orbmm.model.atom_graph import AtomGraph
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.inference.network_pass import NetworkPass
from orbmm.model.kernels.choose import choose_kernels
from orbmm.model.orb import ConservativeOrb, DirectOrb, Orb, Prediction
from orbmm.model.precision import Precision


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
        block = memory.choose_block(network.architecture, device)
        self._pass = NetworkPass(network.model, precision, block, choose_kernels(kernels, device))

    def predict(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        """See Orb.forward; without a gradient to weights or coordinates."""
        with torch.no_grad(), torch.cuda.device_of(graph.vectors):  # Triton launches where torch is
            prediction = self._predict(graph, outputs)
            self._refuse_overflow(prediction)
            return prediction

    def _predict(self, graph: AtomGraph, outputs: AbstractSet[str]) -> Prediction:
        if isinstance(self._network, DirectOrb):
            nodes = self._pass.run(graph)
            with record_function("orbmm: heads"):
                return self._network.read_out(nodes, graph, outputs)
        if outputs.isdisjoint({"forces", "stress"}):
            return self._read_out_conservative(self._pass.run(graph), None, graph, outputs)
        nodes, slope = self._differentiate(graph)
        return self._read_out_conservative(nodes, slope, graph, outputs)

    def _differentiate(self, graph: AtomGraph) -> tuple[Tensor, Tensor]:
        """Node features (N, D), and the derivative of the energy without repulsion by the edge vectors (E, 3)."""
        bytes_each = self._precision.stored_operands(graph.vectors.device).itemsize
        keep = self._memory.choose_kept(
            self._network.architecture, len(graph.senders), bytes_each, graph.vectors.device
        )
        nodes, trace = self._pass.run_and_trace(graph, keep)
        with torch.enable_grad(), record_function("orbmm: heads"):
            leaf = nodes.detach().requires_grad_(True)
            (by_nodes,) = torch.autograd.grad(self._network.heads["energy"](leaf, graph).sum(), leaf)
        return nodes, self._pass.pull_back(by_nodes, graph.vectors, trace)

    def _read_out_conservative(
        self, nodes: Tensor, slope: Tensor | None, graph: AtomGraph, outputs: AbstractSet[str]
    ) -> Prediction:
        network = self._network
        if not isinstance(network, ConservativeOrb):
            raise TypeError(f"no engine for {type(network).__name__}")
        with record_function("orbmm: heads"):
            return network.read_out(nodes, slope, graph, outputs)

    def _refuse_overflow(self, prediction: Prediction) -> None:
        """ModelError where float16 has led to infinity or NaN: its largest number is 65,504."""
        if self._precision.operands != torch.float16:
            return
        results = [result for result in (prediction.energy, prediction.forces) if result is not None]
        if all(bool(torch.isfinite(result).all()) for result in results):
            return
        raise ModelError(
            "the network gave NaN or infinity in float16, whose largest number is 65504: choose bfloat16 or float32-high; "
            "if it gives NaN there too, the structure is far from anything it was trained on"
        )
