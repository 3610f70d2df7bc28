"""The installed packages, whether they import, and pairs of versions that are known not to work together."""

from __future__ import annotations

import platform
from importlib import import_module

from orbmm import __version__
from orbmm.doctor.finding import Finding, State
from orbmm.forces.versions import find_bad_pairs, list_installed, read_versions

REQUIRED = ("torch", "openmm", "openmmml", "mdtraj", "pdbfixer", "numpy", "scipy")
# distribution: what it would add
OPTIONAL = {
    "nvalchemi-toolkit-ops": "the neighbour search cell_list",
    "openmmtorch": "the force kind TorchForce",
    "tblite": "labels for training the embedded models",
}


def check_versions() -> list[Finding]:
    """Versions of orbmm, Python and every package that orbmm works with; the required ones are imported."""
    findings = [
        Finding("orbmm", State.GOOD, __version__),
        Finding("python", State.GOOD, platform.python_version()),
    ]
    findings += [_check_required(name) for name in REQUIRED]
    return findings + [_check_optional(name, use) for name, use in OPTIONAL.items()]


def check_version_pairs() -> list[Finding]:
    """One finding for each installed pair of versions that is known to crash or to give wrong numbers."""
    sentences = find_bad_pairs(read_versions())
    return [Finding("pair", State.LIMITED, sentence) for sentence in sentences] or [
        Finding("pairs", State.GOOD, "none installed")
    ]


def _check_required(name: str) -> Finding:
    advice = f"pip install --force-reinstall {name}"
    found = list_installed([name]).get(name)
    if found is None:
        return Finding(name, State.BROKEN, "not installed", f"pip install {name}")
    try:
        import_module(name)
    except (ImportError, OSError) as error:
        return Finding(name, State.BROKEN, f"{found} does not import: {error}", advice)
    return Finding(name, State.GOOD, found)


def _check_optional(name: str, use: str) -> Finding:
    found = list_installed([name]).get(name)
    if found is None:
        return Finding(name, State.LIMITED, f"not installed; would add {use}")
    return Finding(name, State.GOOD, found)
