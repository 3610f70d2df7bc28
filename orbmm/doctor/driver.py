"""Check the NVIDIA driver: two contexts must fit on a GPU, and the installed compiler must not be newer."""

from __future__ import annotations

import re
import shutil
import subprocess

from orbmm.doctor.installation import Finding, State
from orbmm.forces.versions import list_installed

NVRTC = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")
"""Packages of the compiler with which OpenMM's CUDA platform makes its kernels."""
_CUDA = re.compile(r"CUDA Version\s*:\s*(\d+)\.(\d+)")
_MODE = re.compile(r"Compute Mode\s*:\s*(\S+)")
_LIMIT_S = 20.0


def check_driver() -> list[Finding]:
    """Ask nvidia-smi; nothing is found where there is none, or where it gives no answer."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "-q", "-d", "COMPUTE"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_LIMIT_S).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return [Finding("driver", State.LIMITED, f"nvidia-smi gives no answer ({error})", "repair the NVIDIA driver")]
    return judge_driver(answer, list_installed(NVRTC))


def judge_driver(answer: str, compilers: dict[str, str]) -> list[Finding]:
    """Return what `nvidia-smi -q -d COMPUTE` tells of the driver. compilers: installed versions of NVRTC, by package"""
    findings = []
    exclusive = [number for number, mode in enumerate(_MODE.findall(answer)) if mode.startswith("Exclusive")]
    if exclusive:
        which = ", ".join(f"cuda:{number}" for number in exclusive)
        findings.append(
            Finding(
                "compute mode",
                State.LIMITED,
                f"{which} admits one context at a time, and OpenMM and torch need one each",
                "set the default mode (`nvidia-smi -c DEFAULT`), or ask your cluster for a GPU in that mode",
            )
        )
    driver = _CUDA.search(answer)
    if driver is None:
        return findings
    newest = int(driver[1]), int(driver[2])
    for name, version in compilers.items():
        major, minor = (int(part) for part in version.split(".")[:2])
        if (major, minor) > newest:
            findings.append(
                Finding(
                    name,
                    State.LIMITED,
                    f"{version} writes code that the driver (CUDA {newest[0]}.{newest[1]}) may refuse (error 222)",
                    f"pip install '{name}=={newest[0]}.{newest[1]}.*', or install a newer driver",
                )
            )
    return findings
