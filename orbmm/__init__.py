"""Orb-v3 inside OpenMM. Importing this module imports neither torch nor openmm; the names below load what they need."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orbmm.checkpoints.catalog import list_models
    from orbmm.diagnose.measure import diagnose_model
    from orbmm.ensemble.run import run_ensemble
    from orbmm.errors import OrbmmError
    from orbmm.first_contact.load import load_model
    from orbmm.forces.ase_calculator import OrbCalculator
    from orbmm.simulation.openmm_reporters.confidence import ConfidenceReporter
    from orbmm.simulation.openmm_reporters.guard import StabilityGuard
    from orbmm.simulation.openmm_reporters.rmsd import RmsdReporter

    __version__: str

_HOMES = {
    "list_models": "orbmm.checkpoints.catalog",
    "load_model": "orbmm.first_contact.load",
    "ConfidenceReporter": "orbmm.simulation.openmm_reporters.confidence",
    "OrbCalculator": "orbmm.forces.ase_calculator",
    "OrbmmError": "orbmm.errors",
    "diagnose_model": "orbmm.diagnose.measure",
    "RmsdReporter": "orbmm.simulation.openmm_reporters.rmsd",
    "StabilityGuard": "orbmm.simulation.openmm_reporters.guard",
    "run_ensemble": "orbmm.ensemble.run",
}

__all__ = [
    "ConfidenceReporter",
    "OrbCalculator",
    "OrbmmError",
    "RmsdReporter",
    "StabilityGuard",
    "__version__",
    "diagnose_model",
    "list_models",
    "load_model",
    "run_ensemble",
]


def __getattr__(name: str) -> object:
    """Load a public name from its home on first use (PEP 562); the version is that of the installed package."""
    if name == "__version__":
        return _read_version()
    if name not in _HOMES:
        raise AttributeError(f"module 'orbmm' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def _read_version() -> str:
    """Return the version of the installed package; a clone that is not installed has none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("orbmm")
    except PackageNotFoundError:
        return "0+not.installed"


def __dir__() -> list[str]:
    return sorted(__all__)
