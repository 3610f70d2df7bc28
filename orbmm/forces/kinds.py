"""The OpenMM force classes that can carry a network: which can run here, which one is used; how openmm-torch loads."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import openmm

from orbmm.errors import ForceError, name_nearest
from orbmm.forces.versions import Versions, find_opencl_crash, find_torch_force_crash, is_at_least, read_versions

AUTO = "auto"


@dataclass(frozen=True)
class ForceKind:
    """One kind of force: its name, whether it can run with the installed versions, and the reason in one sentence."""

    name: str
    available: bool
    reason: str


def list_force_kinds() -> tuple[ForceKind, ...]:
    """Return all kinds in the order in which "auto" tries them, judged by the installed versions.

    `orbmm doctor` prints them; `versions.find_bad_pairs` returns the pairs of versions to warn about.
    """
    return judge_force_kinds(read_versions(), load_torch_plugin)


def judge_force_kinds(versions: Versions, load_plugin: Callable[[], str | None]) -> tuple[ForceKind, ...]:
    """Return all kinds, judged by the given versions.

    load_plugin: loads openmm-torch and returns the reason for a failure, or None; not called for refused versions
    """
    return (_judge_torch_force(versions, load_plugin), _judge_python_torch_force(), _judge_python_force(versions))


def choose_force_kind(wanted: str, kinds: tuple[ForceKind, ...]) -> ForceKind:
    """Return the kind of this name, or for "auto" the first that can run.

    Raises ForceError for an unknown name (with the nearest one) and for a kind that cannot run here (with its reason).
    """
    names = [kind.name for kind in kinds]
    if wanted not in (AUTO, *names):
        raise ForceError(f"there is no force kind '{wanted}': {name_nearest(wanted, [AUTO, *names])}")
    for kind in kinds:
        if kind.available and wanted in (AUTO, kind.name):
            return kind
    refused = [f"{kind.name}: {kind.reason}" for kind in kinds if wanted in (AUTO, kind.name)]
    raise ForceError("no force kind can run here. " + "; ".join(refused) if wanted == AUTO else refused[0])


def _judge_torch_force(versions: Versions, load_plugin: Callable[[], str | None]) -> ForceKind:
    name = "TorchForce"
    if versions.openmmtorch is None:
        return ForceKind(name, False, "openmmtorch is not installed: pip install '.[torchforce]' in a clone of orbmm")
    crash = find_torch_force_crash(versions)
    if crash is not None:
        return ForceKind(name, False, crash)
    failure = load_plugin()
    if failure is not None:
        pair = f"openmmtorch {versions.openmmtorch} does not load beside torch {versions.torch}"
        return ForceKind(name, False, f"{pair} ({failure}): it needs a torch built for CUDA 12")
    return ForceKind(name, True, f"openmmtorch {versions.openmmtorch} loads; tensors stay on OpenMM's device")


def _judge_python_torch_force() -> ForceKind:
    return ForceKind("PythonTorchForce", False, "no release of openmmtorch has PythonTorchForce yet: use TorchForce")


def _judge_python_force(versions: Versions) -> ForceKind:
    name = "PythonForce"
    if not is_at_least(versions.openmm, 8, 5):
        return ForceKind(name, False, f"PythonForce needs OpenMM 8.5 or newer, found {versions.openmm}")
    return ForceKind(name, True, f"OpenMM {versions.openmm} has it; coordinates pass through NumPy")


_FAILED_LIBRARY = re.compile(r"Error loading library (?P<path>.+?OpenMMTorch(?P<platform>[A-Z]\w*)\.\w+): ")
"""OpenMM's report of a plugin of openmm-torch that did not load."""


@cache
def load_torch_plugin() -> str | None:
    """Load openmm-torch and its kernels; return one line with the reason for a failure, or None.

    OpenMM loads all plugins when it is imported. If torch was not imported before, the plugins of openmm-torch did not
    find the libraries of torch, and a Context lacks their kernels. They are loaded again here, for the present
    platforms.
    """
    import torch  # noqa: F401  (openmm-torch finds the CUDA libraries only once torch has loaded them)

    try:
        with _without_simtk_warning():
            import openmmtorch  # noqa: F401
    except (ImportError, OSError) as error:
        return str(error).splitlines()[0]
    platforms = {openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())}
    for failure in openmm.Platform.getPluginLoadFailures():
        found = _FAILED_LIBRARY.match(failure)
        if found and found["platform"] in platforms and not find_platform_fault(found["platform"], "TorchForce"):
            try:
                openmm.Platform.loadPluginLibrary(found["path"])
            except openmm.OpenMMException as error:
                return str(error).splitlines()[0]
    return None


def find_platform_fault(platform: str, kind: str) -> str | None:
    """Return a sentence if a force kind cannot compute on an OpenMM platform with the installed versions, else None."""
    return find_opencl_crash(read_versions()) if (platform, kind) == ("OpenCL", "TorchForce") else None


@contextmanager
def _without_simtk_warning() -> Iterator[None]:
    """Suppress the one line that openmm-torch 1.5 logs about its use of an old name of OpenMM."""

    def is_other(record: logging.LogRecord) -> bool:
        return "simtk" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)
