"""The table [model]: the network that gives the forces, its precision, device and memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orbmm.errors import SettingsError
from orbmm.plain_text import describe_value
from orbmm.settings.field import Limits, check_fields, setting
from orbmm.settings.paths import OWN_NAME, is_weights_path
from orbmm.settings.time_step import MEASURED_MODEL

DEFAULT_MODEL = "orb-mini-conservative-inf-xtb"
PRECISIONS = ("float64", "float32-highest", "float32-high", "float16", "bfloat16")
MEMORY_MODES = ("auto", "fast", "lean")
SEARCHES = ("auto", "brute_force", "kd_tree", "cell_list", "ball_cover")
TRITON_KERNELS = ("triton", "fused")
KERNELS = ("auto", "torch", *TRITON_KERNELS)
FIRST_CONTACTS = ("check", "skip")
TUNES = ("measure", "skip")
FORCE_KINDS = ("auto", "TorchForce", "PythonTorchForce", "PythonForce")

NO_DISPERSION = "none"
DISPERSIONS = (NO_DISPERSION, "d3bj-pbe")


@dataclass(frozen=True)
class ModelSettings:
    """The table [model]. A name that is the path of a weights file becomes "orbmm", and the path becomes weights."""

    name: str = setting(
        "Name of the model, as listed by `orbmm models`; orbmm: whatever network the file of weights holds; or the "
        "path of such a .safetensors file.",
        DEFAULT_MODEL,
    )
    weights: Path | None = setting("Local file of weights; absent: the weights of the catalogue.", None)
    precision: str = setting("Floating-point precision of the network.", "float32-high", Limits(choices=PRECISIONS))
    device: str = setting("Device of the network: auto, cpu, cuda, cuda:1, ...", "auto")
    force: str = setting("OpenMM force class that carries the network.", "auto", Limits(choices=FORCE_KINDS))
    compile: bool | None = setting(
        "Compile the network first. It takes some minutes and makes the steps faster; on a CPU it needs a C++ "
        "compiler. Absent: as measured, else only for long runs of the embedded models on a CPU.",
        None,
    )
    memory: str = setting(
        "Conservative models: fast keeps the activations for the backward pass to the forces, lean recomputes them, "
        "auto keeps as many as fit into half of the free memory.",
        "auto",
        Limits(choices=MEMORY_MODES),
    )
    edges_per_block: int | None = setting(
        "Number of edges in a block; smaller blocks take less memory; absent: chosen for the device.",
        None,
        Limits(at_least=1),
    )
    search: str = setting(
        "Method of the neighbour search; all give the same result: auto, brute_force, kd_tree, cell_list, "
        "ball_cover (cuML, not run on a GPU yet).",
        "auto",
        Limits(choices=SEARCHES),
    )
    kernels: str = setting(
        "Kernels for the work on edges: torch; triton, for the steps between the matrix products; fused, for products "
        "too, with edges in half precision (both CUDA, not run on a GPU yet); auto: as measured, else torch.",
        "auto",
        Limits(choices=KERNELS),
    )
    cuda_graphs: bool | None = setting(
        "Use CUDA graphs: record the GPU work once for each graph size and replay it. For small systems (not run on a "
        "GPU yet). Absent: as measured, else false.",
        None,
    )
    threads: int | None = setting(
        "Threads of the network on a CPU. Absent: what OMP_NUM_THREADS says, else as measured, else all cores.",
        None,
        Limits(at_least=1),
    )
    tune: str = setting(
        "measure: what is left open here is taken from measurements of this model, machine and size; a GPU is measured "
        "at its first contact, a CPU before a long run; skip: nothing is measured or looked up.",
        "measure",
        Limits(choices=TUNES),
    )
    first_contact: str = setting(
        "check: before its first step a GPU is compared with the CPU, once for each model, precision and card; skip: a "
        "GPU that computes wrong numbers is not noticed.",
        "check",
        Limits(choices=FIRST_CONTACTS),
    )
    charge: int | None = setting("Total charge, for models that need it [e].", None)
    multiplicity: int | None = setting(
        "Spin multiplicity, for models that need it; 0: not known.", None, Limits(at_least=0)
    )

    fast: str | None = setting(
        "Direct model for multiple time steps: its forces act in every step, those of the conservative model `name` "
        "correct them every `outer_steps` steps; absent: none.",
        None,
        fixed=True,
    )
    dispersion: str = setting(
        "Dispersion added to the network as a force of its own: none, d3bj-pbe (D3(BJ) for PBE, within 12 Å).",
        NO_DISPERSION,
        Limits(choices=DISPERSIONS),
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if not is_weights_path(self.name):
            return
        if self.weights is not None:
            raise SettingsError(
                f"name is {describe_value(self.name)} and weights is {describe_value(self.weights.as_posix())}, but "
                f'one file holds the network: remove weights, or set name = "{OWN_NAME}"'
            )
        object.__setattr__(self, "weights", Path(self.name))
        object.__setattr__(self, "name", OWN_NAME)

    @property
    def has_measured_steps(self) -> bool:
        """Return whether this is the model whose longest time steps were measured, with the weights of the catalogue.

        The catalogue also knows it with the prefix of orbmm.
        """
        return self.fast is None and self.weights is None and self.name in (MEASURED_MODEL, f"orbmm-{MEASURED_MODEL}")
