"""The OpenMM platform for the integration: the fastest that works on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import openmm

from orbmm.errors import RunError
from orbmm.forces.kinds import find_platform_fault

_LOG = logging.getLogger(__name__)
_GPU_PLATFORMS = ("CUDA", "HIP", "OpenCL")


def create_context(
    system: openmm.System, make_integrator: Callable[[], openmm.Integrator], platform: str = "auto"
) -> openmm.Context:
    """Return a Context on the named platform or, with "auto", on the fastest that works on this machine.

    make_integrator: called once per attempt, because an integrator belongs to its Context even if that fails
    Raises RunError with OpenMM's reason if no platform works.
    """
    names = [name for name in _list_platforms() if not _is_slow(name)] if platform == "auto" else [platform]
    reasons = []
    kinds = {force.getName() for force in system.getForces()}  # of a force without a name, its class
    for name in names:
        fault = find_platform_fault(name, "TorchForce") if "TorchForce" in kinds else None
        if fault is not None:
            reasons.append(f"{name}: {fault}")
            continue
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


@cache
def _is_slow(name: str) -> bool:
    """Return True for an OpenCL platform that a processor carries out, as PoCL does: the CPU platform is faster."""
    if name != "OpenCL":
        return False
    system = openmm.System()
    system.addParticle(1.0)
    try:
        context = _open(system, openmm.VerletIntegrator(0.001), name)
    except openmm.OpenMMException:
        return False  # the error is told when the platform is tried
    opened = context.getPlatform()
    return opened.getPropertyValue(context, "OpenCLPlatformName") == "Portable Computing Language"


def _list_platforms() -> list[str]:
    platforms = [openmm.Platform.getPlatform(index) for index in range(openmm.Platform.getNumPlatforms())]
    return [platform.getName() for platform in sorted(platforms, key=lambda one: one.getSpeed(), reverse=True)]


def _open(system: openmm.System, integrator: openmm.Integrator, name: str) -> openmm.Context:
    # Mixed precision: float32 positions would lose the small displacements of a 0.5 fs step.
    properties = {"Precision": "mixed"} if name in _GPU_PLATFORMS else {}
    return openmm.Context(system, integrator, openmm.Platform.getPlatformByName(name), properties)
