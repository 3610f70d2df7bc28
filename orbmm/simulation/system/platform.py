"""The OpenMM platform for the integration: the fastest that works on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable

import openmm

from orbmm.errors import RunError

_LOG = logging.getLogger(__name__)
_GPU_PLATFORMS = ("CUDA", "HIP", "OpenCL")


def create_context(
    system: openmm.System, make_integrator: Callable[[], openmm.Integrator], platform: str = "auto"
) -> openmm.Context:
    """Return a Context on the named platform or, with "auto", on the fastest that works on this machine.

    make_integrator: called once per attempt, because an integrator belongs to its Context even if that fails
    Raises RunError with OpenMM's reason if no platform works.
    """
    names = _list_platforms() if platform == "auto" else [platform]
    reasons = []
    for name in names:
        try:
            context = _open(system, make_integrator(), name)
        except openmm.OpenMMException as error:
            reasons.append(f"{name}: {error}")
            continue
        _LOG.debug("integrating on the %s platform", name)
        return context
    raise RunError(f"no OpenMM platform works ({'; '.join(reasons)}); available: {', '.join(_list_platforms())}")


def find_platform(system: openmm.System, wanted: str) -> str:
    """Return the name of the platform that create_context uses for a System. Raises RunError if none works."""
    return create_context(system, lambda: openmm.VerletIntegrator(0.001), wanted).getPlatform().getName()


def choose_platform(recorded: str) -> str:
    """Return the platform that a run started on, or "auto" with a warning if this machine does not have it."""
    if recorded in _list_platforms():
        return recorded
    _LOG.warning("the run started on the %s platform, which is not available here", recorded)
    return "auto"


def _list_platforms() -> list[str]:
    platforms = [openmm.Platform.getPlatform(index) for index in range(openmm.Platform.getNumPlatforms())]
    return [platform.getName() for platform in sorted(platforms, key=lambda one: one.getSpeed(), reverse=True)]


def _open(system: openmm.System, integrator: openmm.Integrator, name: str) -> openmm.Context:
    # Mixed precision: float32 positions would lose the small displacements of a 0.5 fs step.
    properties = {"Precision": "mixed"} if name in _GPU_PLATFORMS else {}
    return openmm.Context(system, integrator, openmm.Platform.getPlatformByName(name), properties)
