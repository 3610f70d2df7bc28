"""Run all checks, section by section."""

from __future__ import annotations

from collections.abc import Iterator

from orbmm.doctor.installation import Finding, State, check_version_pairs, check_versions


def diagnose() -> Iterator[tuple[str, list[Finding]]]:
    """Check everything; yield the title and the findings of each section as soon as it is complete.

    If a required package cannot be imported, the diagnosis ends with the versions.
    """
    versions = check_versions()
    yield "Versions", versions
    if any(finding.state is State.BROKEN for finding in versions):
        return
    from orbmm.doctor.driver import check_driver
    from orbmm.doctor.installation import check_devices, check_platforms, check_proofs, check_searches
    from orbmm.doctor.self_test import check_forces

    yield "Known bad pairs", check_version_pairs()
    yield "Devices", [*check_devices(), *check_driver()]
    platforms = check_platforms()
    yield "OpenMM platforms", platforms
    working = tuple(finding.subject for finding in platforms if finding.state is State.GOOD)
    yield "Neighbour searches", check_searches()
    yield "Published weights", check_proofs()
    yield "Force kinds and self-test", check_forces(working)
