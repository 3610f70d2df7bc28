"""What run.json says a run was made with."""

from __future__ import annotations

from datetime import UTC, datetime
from platform import python_version
from typing import Any

import openmm

from orbmm.forces.versions import list_installed
from orbmm.settings import Settings
from orbmm.simulation.forces import ForceIdentity
from orbmm.simulation.thermometer import make_thermometer

_PACKAGES = ("orbmm", "openmm", "openmmml", "openmmtorch", "torch", "nvalchemi-toolkit-ops", "numpy")


def list_facts(settings: Settings, system: openmm.System, platform: str, identity: ForceIdentity) -> dict[str, Any]:
    """Model, weights, seed, device, force kind, platform and versions of a run that begins now."""
    return {
        "model": settings.model.name,
        "weights_sha256": identity.weights_sha256,
        "seed": settings.run.seed,
        "device": identity.device,
        "force_kind": identity.kind,
        "platform": platform,
        "atoms": system.getNumParticles(),
        "degrees_of_freedom": make_thermometer(system).degrees_of_freedom,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": python_version(), **list_installed(_PACKAGES)},
    }
