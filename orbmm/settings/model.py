"""Which network gives the forces, and how it is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orbmm.settings.field import Limits, check_fields, setting

DEFAULT_MODEL = "orb-mini-conservative-inf-xtb"
PRECISIONS = ("float64", "float32-highest", "float32-high", "float16", "bfloat16")
MEMORY_MODES = ("auto", "fast", "lean")
SEARCHES = ("auto", "brute_force", "kd_tree", "cell_list", "ball_cover")
KERNELS = ("auto", "torch", "triton")
FORCE_KINDS = ("auto", "TorchForce", "PythonTorchForce", "PythonForce")


@dataclass(frozen=True)
class ModelSettings:
    """The table [model]."""

    name: str = setting("Name in `orbmm models`.", DEFAULT_MODEL)
    weights: Path | None = setting("Local weights file; absent: the catalogue's own.", None)
    precision: str = setting("Arithmetic of the network.", "float32-high", Limits(choices=PRECISIONS))
    device: str = setting("Where the network runs: auto, cpu, cuda, cuda:1, ...", "auto")
    force: str = setting("How the network is attached to OpenMM.", "auto", Limits(choices=FORCE_KINDS))
    compile: bool | None = setting(
        "Compile the network first: faster steps after some minutes; on a CPU this needs a C++ compiler. "
        "Absent: where it pays, in long runs of the embedded models on a CPU.",
        None,
    )
    memory: str = setting(
        "Conservative models: fast keeps activations for the backward pass to the forces, lean recomputes them, "
        "auto keeps what half of the free memory holds.",
        "auto",
        Limits(choices=MEMORY_MODES),
    )
    edges_per_block: int | None = setting(
        "Edges that are worked on together; fewer take less memory; absent: what suits the device.",
        None,
        Limits(at_least=1),
    )
    search: str = setting(
        "How neighbours are searched, with the same result: auto, brute_force, kd_tree, cell_list, ball_cover (cuML, not run "
        "on a GPU yet).",
        "auto",
        Limits(choices=SEARCHES),
    )
    kernels: str = setting(
        "What works on edges between the matrix products: torch, triton (CUDA, not run on a GPU yet); auto takes torch.",
        "auto",
        Limits(choices=KERNELS),
    )
    cuda_graphs: bool = setting(
        "Record the work of a GPU once for each size of graph and repeat it, for boxes of few atoms (not run on a GPU yet).",
        False,
    )
    charge: int | None = setting("Total charge, for models that need it [e].", None)
    multiplicity: int | None = setting("Spin multiplicity, for models that need it.", None, Limits(at_least=1))

    def __post_init__(self) -> None:
        check_fields(self)
