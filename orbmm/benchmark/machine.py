"""Describe the machine, and read the peak memory of a measuring process."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from orbmm.forces.versions import list_installed

PACKAGES = ("orbmm", "torch", "openmm", "openmmml", "openmmtorch", "nvalchemi-toolkit-ops", "numpy", "scipy")
BYTES_PER_MB = 1e6


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory [GB], GPU, system, versions and the date."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": _read_field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "memory_gb": _read_kilobytes("MemTotal") / 1e6,
        "gpu": gpu,
        "system": platform.platform(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **list_installed(PACKAGES)},
    }


def read_peak_memory_mb(device: torch.device) -> dict[str, float]:
    """Return the peak memory of this process: on the host, and on a CUDA device."""
    peaks = {}
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peaks["host_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / BYTES_PER_MB
    if device.type == "cuda":
        peaks["device_mb"] = torch.cuda.max_memory_allocated(device) / BYTES_PER_MB
    return peaks


def _read_kilobytes(field: str) -> int:
    return int((_read_field("/proc/meminfo", field) or "0").split()[0])


def _read_field(path: str, field: str) -> str | None:
    """Return the first value of a field in a file of lines `field : value`, or None if file or field is absent."""
    if not Path(path).is_file():
        return None
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return None
