"""The devices on which networks can run (torch) and the platforms on which OpenMM can integrate."""

from __future__ import annotations

import shutil

import openmm
import torch

from orbmm.doctor.finding import Finding, State


def check_devices() -> list[Finding]:
    """The processor and every GPU that torch can use."""
    findings = [Finding("cpu", State.GOOD, f"{torch.get_num_threads()} threads")]
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        findings.append(Finding(f"cuda:{index}", State.GOOD, f"{device.name}, {device.total_memory / 2**30:.0f} GiB"))
    return findings if torch.cuda.is_available() else [*findings, _explain_missing_gpu()]


def check_platforms() -> list[Finding]:
    """Every OpenMM platform, tried with one particle, and a word on plugins that did not load."""
    count = openmm.Platform.getNumPlatforms()
    findings = [_try_platform(openmm.Platform.getPlatform(index)) for index in range(count)]
    failures = openmm.Platform.getPluginLoadFailures()
    if failures:
        seen = f"{len(failures)} did not load, the first: {failures[0].rpartition('/')[2]}"
        findings.append(Finding("plugins", State.LIMITED, seen, "nothing, where there is no GPU"))
    return findings


def _explain_missing_gpu() -> Finding:
    if shutil.which("nvidia-smi") is None:
        return Finding("cuda", State.LIMITED, "no GPU: fine for the embedded models, slow for the published ones")
    seen = f"there is an NVIDIA driver, but torch {torch.__version__} cannot use it"
    return Finding("cuda", State.LIMITED, seen, "install a CUDA build of torch, or a newer driver")


def _try_platform(platform: openmm.Platform) -> Finding:
    system = openmm.System()
    system.addParticle(1.0)
    try:
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
        context.setPositions([openmm.Vec3(0, 0, 0)])
        context.getIntegrator().step(1)
    except openmm.OpenMMException as error:
        return Finding(platform.getName(), State.LIMITED, f"is there but does not run: {error}")
    return Finding(platform.getName(), State.GOOD, "runs")
