"""How a network is carried out, beside its precision: what it costs, not what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from orbmm.errors import ModelError
from orbmm.model.inference.memory import MemoryUse


@dataclass(frozen=True)
class Execution:
    """Time against memory, and whose code does the work; results differ by rounding at most.

    memory: how memory is traded for time
    kernels: "auto", "torch" or "triton"; see orbmm.model.inference.kernels.choose
    compile: translate the network to machine code at its first evaluation; see orbmm.model.compiled
    cuda_graphs: record the work of a GPU once and repeat it; see orbmm.model.inference.replay
    search: how neighbours are searched, with the same result; see orbmm.graph.search.choose
    Raises ModelError for choices that exclude each other.
    """

    memory: MemoryUse = field(default_factory=MemoryUse)
    kernels: str = "auto"
    compile: bool = False
    cuda_graphs: bool = False
    search: str = "auto"

    def __post_init__(self) -> None:
        if self.compile and self.memory != MemoryUse():
            raise ModelError(
                "a compiled network works on all edges at once: choose compile, or memory and edges_per_block, but not both"
            )
        if self.compile and self.kernels == "triton":
            raise ModelError(
                'a compiled network makes its own kernels: choose compile, or kernels = "triton", but not both'
            )
        if self.compile and self.cuda_graphs:
            raise ModelError("a compiled network is not recorded: choose compile, or cuda_graphs, but not both")
