"""Read the installed versions, and find the pairs of them that are known to fail."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class Versions:
    """Versions of the packages between the network and OpenMM; None for one that is not installed."""

    openmm: str | None
    openmmml: str | None
    openmmtorch: str | None
    torch: str | None


def list_installed(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each named distribution that is installed, without importing it; others are left out."""
    versions = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def read_versions() -> Versions:
    """Return the versions installed here; nothing is imported."""
    names = ("openmm", "openmmml", "openmmtorch", "torch")
    installed = list_installed(names)
    return Versions(*(installed.get(name) for name in names))


def find_bad_pairs(versions: Versions) -> tuple[str, ...]:
    """Return one sentence for each pair of versions that is known to crash or to give wrong numbers."""
    found = (find_torch_force_crash(versions), find_opencl_crash(versions), find_worker_thread(versions))
    return tuple(text for text in found if text)


def find_torch_force_crash(versions: Versions) -> str | None:
    """Return a sentence on the pair that crashes on a System with a TorchForce (tested: OpenMM 8.6.0, 8.6.1)."""
    torchforce = versions.openmmtorch
    if torchforce is None or is_at_least(torchforce, 1, 6) or not is_at_least(versions.openmm, 8, 6):
        return None
    return (
        f"OpenMM {versions.openmm} crashes when it loads a System with a TorchForce of openmmtorch "
        f"{torchforce}: use OpenMM 8.5.2 with it"
    )


def find_opencl_crash(versions: Versions) -> str | None:
    """Return a sentence on the pair that ends the process when a TorchForce computes on the OpenCL platform.

    The OpenCL plugin of openmmtorch 1.5 asks for a function that OpenMM 8.5 no longer has (tested: 8.5.2 on PoCL). Its
    CUDA plugin asks for no such function.
    """
    torchforce = versions.openmmtorch
    if torchforce is None or is_at_least(torchforce, 1, 6) or not is_at_least(versions.openmm, 8, 5):
        return None
    return (
        f"a TorchForce of openmmtorch {torchforce} ends the process on the OpenCL platform of OpenMM "
        f"{versions.openmm}: use the CUDA or CPU platform, or PythonForce"
    )


def find_worker_thread(versions: Versions) -> str | None:
    """Return a sentence on the OpenMM that calls a PythonForce on a worker thread (its pull request 5412)."""
    if not is_at_least(versions.openmm, 8, 5) or is_at_least(versions.openmm, 8, 6):
        return None
    return (
        f"OpenMM {versions.openmm} may call a PythonForce on a worker thread of its CUDA platform, where PyTorch on "
        "the same GPU gave NaN coordinates: orbmm stops such a run; use TorchForce or OpenMM 8.6"
    )


def advise_on_worker_thread(versions: Versions) -> str:
    """Return what to do where OpenMM called a PythonForce on a worker thread.

    From OpenMM 8.6 on there is one reason left: several devices, which share the work among threads of OpenMM's own.
    """
    if find_worker_thread(versions) is None:
        return "give one GPU in DeviceIndex, not several, or use OpenMM's CPU platform"
    return "use force='TorchForce', OpenMM 8.6 or newer with one GPU in DeviceIndex, or OpenMM's CPU platform"


def is_at_least(version: str | None, major: int, minor: int) -> bool:
    """Return True if a version is this one or newer; a pre-release counts as its release, None as older."""
    found = re.match(r"(\d+)\.(\d+)", version or "")
    return found is not None and (int(found[1]), int(found[2])) >= (major, minor)
