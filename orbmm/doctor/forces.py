"""The force kinds that load here, and whether they compute."""

from __future__ import annotations

from collections.abc import Sequence

from orbmm.doctor.finding import Finding, State
from orbmm.doctor.self_test import try_force
from orbmm.forces.kinds import list_force_kinds


def check_forces(platforms: Sequence[str]) -> list[Finding]:
    """Why a force kind cannot be used, or its self-test on each of these OpenMM platforms."""
    findings = []
    for kind in list_force_kinds():
        if kind.available:
            findings += [try_force(kind.name, platform) for platform in platforms]
        else:
            findings.append(Finding(kind.name, State.LIMITED, kind.reason))
    if not any(finding.state is State.GOOD for finding in findings):
        advice = 'pip install "orbmm[newest]"'
        findings.append(Finding("forces", State.BROKEN, "none computes: no simulation is possible", advice))
    return findings
