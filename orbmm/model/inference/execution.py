"""The choices that change the cost of a network but not its results."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from orbmm.errors import ModelError
from orbmm.model.inference.memory import MemoryUse
from orbmm.settings.model import TRITON_KERNELS, ModelSettings


@dataclass(frozen=True)
class Execution:
    """Memory, kernels, compilation, recording and neighbour search; results differ by rounding at most.

    Each field has the name and the values of a field of ModelSettings.
    memory, edges_per_block: see orbmm.model.inference.memory.MemoryUse
    kernels: see orbmm.model.inference.kernels.choose
    compile: compile the network at its first evaluation; see orbmm.model.compiled
    cuda_graphs: record the work of a GPU once and repeat it; see orbmm.model.inference.replay
    search: the neighbour search, which does not change the edges; see orbmm.graph.search.choose
    threads: of a CPU, None for what torch has; see orbmm.model.inference.threads
    Raises ModelError for an invalid use of memory, and for choices that exclude each other.
    """

    memory: str = "auto"
    edges_per_block: int | None = None
    kernels: str = "auto"
    compile: bool = False
    cuda_graphs: bool = False
    search: str = "auto"
    threads: int | None = None

    @classmethod
    def from_settings(cls, model: ModelSettings) -> Execution:
        """Return the execution that the settings describe; compile and cuda_graphs become False where undecided."""
        values = {field.name: getattr(model, field.name) for field in dataclasses.fields(cls)}
        return cls(**{**values, "compile": bool(model.compile), "cuda_graphs": bool(model.cuda_graphs)})

    @property
    def memory_use(self) -> MemoryUse:
        """Return the two settings of memory as the engine takes them."""
        return MemoryUse(self.edges_per_block, self.memory)

    def __post_init__(self) -> None:
        memory = self.memory_use  # raises for invalid values
        if self.threads is not None and self.threads < 1:
            raise ModelError(f"threads is {self.threads}, but must be at least 1, or be left out")
        if self.compile and memory != MemoryUse():
            raise ModelError(
                "a compiled network works on all edges at once: choose compile, or memory and edges_per_block, "
                "but not both"
            )
        if self.compile and self.kernels in TRITON_KERNELS:
            raise ModelError(
                f'a compiled network makes its own kernels: choose compile, or kernels = "{self.kernels}", but not both'
            )
        if self.compile and self.cuda_graphs:
            raise ModelError("a compiled network is not recorded: choose compile, or cuda_graphs, but not both")
