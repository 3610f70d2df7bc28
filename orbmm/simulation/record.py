"""What run.json says a run was made with."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import metadata
from platform import python_version
from typing import Any

import openmm

from orbmm.settings import Settings
from orbmm.simulation.dynamics import Dynamics

_PACKAGES = ("orbmm", "openmm", "openmmml", "openmmtorch", "torch", "nvalchemi-toolkit-ops", "numpy")


def list_facts(settings: Settings, dynamics: Dynamics, weights_sha256: str) -> dict[str, Any]:
    """Model, weights, seed, device, force kind, platform and versions of a run that begins now."""
    system = dynamics.context.getSystem()
    return {
        "model": settings.model.name,
        "weights_sha256": weights_sha256,
        "seed": settings.run.seed,
        "device": settings.model.device,
        "force_kind": "+".join(sorted(_list_force_kinds(system))),
        "platform": dynamics.context.getPlatform().getName(),
        "atoms": system.getNumParticles(),
        "degrees_of_freedom": dynamics.thermometer.degrees_of_freedom,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": python_version(), **_list_versions()},
    }


def _list_force_kinds(system: openmm.System) -> set[str]:
    forces = [force for force in system.getForces() if not isinstance(force, openmm.CMMotionRemover)]
    return {type(force).__name__ for force in forces}


def _list_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # a run from a source folder, or without TorchForce
    return versions
