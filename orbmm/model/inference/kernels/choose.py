"""Choose the kernels that compute the network."""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch

from orbmm.errors import MissingDependency, ModelError, name_nearest
from orbmm.model.inference.kernels.edge_update.protocol import EdgeKernels
from orbmm.model.inference.kernels.edge_update.tiles import SMALLEST, find_tiles
from orbmm.model.inference.kernels.plain import PlainKernels
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.model.precision import Precision
from orbmm.settings.model import KERNELS, TRITON_KERNELS

FUSED_PRECISIONS = ("float16", "bfloat16", "float32-high")


def choose_kernels(name: str | Kernels, device: torch.device, precision: Precision) -> Kernels:
    """Return the kernels of this name; "auto" means plain PyTorch, because no GPU has been measured yet.

    name: a value of `[model] kernels`, or kernels that exist already (for tests and measurements)
    Triton is imported only when it is requested. Raises ModelError for an unknown name, for Triton on a CPU (unless
    TRITON_INTERPRET=1 selects its interpreter, for tests), and for fused kernels in a precision that they do not have;
    raises MissingDependency if Triton is not installed.
    """
    if not isinstance(name, str):
        return name
    if name not in KERNELS:
        raise ModelError(f"unknown kernels '{name}': {name_nearest(name, KERNELS)}")
    if name not in TRITON_KERNELS:
        return PlainKernels()
    if device.type != "cuda" and not _is_interpreted():
        raise ModelError(f'kernels \'{name}\' need a CUDA device, got {device}: choose kernels = "torch" or "auto"')
    if find_spec("triton") is None:
        raise MissingDependency(f'kernels = "{name}" needs the package triton: install it, or choose kernels = "torch"')
    from orbmm.model.inference.kernels.triton_kernels import TritonKernels

    return TritonKernels(_build_edge_kernels(device, precision) if name == "fused" else None)


def _build_edge_kernels(device: torch.device, precision: Precision) -> EdgeKernels:
    if precision.name not in FUSED_PRECISIONS:
        raise ModelError(
            f"kernels 'fused' compute in {', '.join(FUSED_PRECISIONS)}, got {precision.name}: choose one of these, or "
            'kernels = "triton" or "torch"'
        )
    from orbmm.model.inference.kernels.edge_update.fused import FusedEdgeKernels

    return FusedEdgeKernels(SMALLEST if _is_interpreted() else find_tiles(*_describe_gpu(device)))


def _describe_gpu(device: torch.device) -> tuple[tuple[int, int], int]:
    """Return the compute capability, and the shared memory that a program may use [KiB]."""
    properties = torch.cuda.get_device_properties(device)
    shared = properties.shared_memory_per_block_optin  # type: ignore[attr-defined]
    return (properties.major, properties.minor), shared // 1024


def _is_interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"
