"""Where a network runs."""

from __future__ import annotations

import torch

from orbmm.errors import DeviceError


def find_device(name: str | torch.device | None) -> torch.device:
    """The torch device of that name; None and "auto" mean the first GPU where there is one, else the CPU.

    Raises DeviceError for a device that is not there: a run must not fall back to a slower one in silence.
    """
    if name is None or name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"unknown device '{name}': expected auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"device '{name}' is not supported: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise DeviceError(f"device '{name}' was asked for but torch sees {found} CUDA devices: use device='cpu'")
    return device
