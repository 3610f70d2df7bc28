"""Choose the kernels that compute the network."""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch

from orbmm.errors import MissingDependency, ModelError, name_nearest
from orbmm.model.inference.kernels.plain import PlainKernels
from orbmm.model.inference.kernels.protocol import Kernels
from orbmm.settings.model import KERNELS


def choose_kernels(name: str, device: torch.device) -> Kernels:
    """Return the kernels of this name; "auto" means plain PyTorch, because no GPU has been measured yet.

    Triton is imported only when it is requested. Raises ModelError for an unknown name and for Triton on a CPU, unless
    TRITON_INTERPRET=1 selects its interpreter (for tests); raises MissingDependency if Triton is not installed.
    """
    if name not in KERNELS:
        raise ModelError(f"unknown kernels '{name}': {name_nearest(name, KERNELS)}")
    if name != "triton":
        return PlainKernels()
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ModelError(f'kernels \'triton\' need a CUDA device, got {device}: choose kernels = "torch" or "auto"')
    if find_spec("triton") is None:
        raise MissingDependency('kernels = "triton" needs the package triton: install it, or choose kernels = "torch"')
    from orbmm.model.inference.kernels.fused import TritonKernels

    return TritonKernels()
