"""Check what is installed: packages, devices, OpenMM platforms, neighbour searches, published weights."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from enum import Enum
from importlib import import_module

import openmm
import torch

from orbmm import __version__
from orbmm.checkpoints.catalog import list_models
from orbmm.checkpoints.proof import VERIFIED, find_verdict
from orbmm.checkpoints.store import state_of_weights
from orbmm.errors import DeviceError, MissingDependency, OrbmmError
from orbmm.forces.versions import find_bad_pairs, list_installed, read_versions
from orbmm.graph.edges import EdgeList, find_edges
from orbmm.graph.search.choose import METHODS

REQUIRED = ("torch", "openmm", "openmmml", "mdtraj", "pdbfixer", "numpy", "scipy")
# distribution: what it would add
OPTIONAL = {
    "nvalchemi-toolkit-ops": "the neighbour search cell_list",
    "openmmtorch": "the force kind TorchForce",
    "tblite": "labels for training the embedded models",
    "rdkit": "ligands in a prepared box",
}


class State(Enum):
    """The state of a check: it works, works with a limit that a user should know, or stops orbmm from working."""

    GOOD = "good"
    LIMITED = "limited"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """The subject of a check, its state, the observation, and advice if something should be done."""

    subject: str
    state: State
    seen: str
    advice: str = ""


def check_versions() -> list[Finding]:
    """Return the versions of orbmm, Python and all packages that orbmm uses; the required ones are imported."""
    findings = [
        Finding("orbmm", State.GOOD, __version__),
        Finding("python", State.GOOD, platform.python_version()),
    ]
    findings += [_check_required(name) for name in REQUIRED]
    return findings + [_check_optional(name, use) for name, use in OPTIONAL.items()]


def check_version_pairs() -> list[Finding]:
    """Return one finding for each installed pair of versions that is known to crash or to give wrong numbers."""
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


def check_devices() -> list[Finding]:
    """Return the processor and every GPU that torch can use."""
    threads = torch.get_num_threads()
    findings = [Finding("cpu", State.GOOD, f"{threads} thread{'' if threads == 1 else 's'}")]
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        findings.append(Finding(f"cuda:{index}", State.GOOD, f"{device.name}, {device.total_memory / 2**30:.0f} GiB"))
    return findings if torch.cuda.is_available() else [*findings, _explain_missing_gpu()]


def check_platforms() -> list[Finding]:
    """Try every OpenMM platform with one particle, and report plugins that did not load."""
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


def check_searches() -> list[Finding]:
    """Try every search on 100 random atoms in a sheared cell, and compare with brute force on the CPU."""
    expected = _search("brute_force", "cpu")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return [_check_search(name, device, expected) for name in METHODS]


def check_proofs() -> list[Finding]:
    """Return, for all published weights in the cache, whether they have reproduced published values."""
    cached = [record for record in list_models() if state_of_weights(record) == "cached"]
    verdicts = [(record.name, find_verdict(record)) for record in cached]
    return [
        Finding(name, State.GOOD if verdict == VERIFIED else State.LIMITED, verdict) for name, verdict in verdicts
    ] or [Finding("weights", State.GOOD, "none downloaded yet")]


def _check_search(name: str, device: str, expected: EdgeList) -> Finding:
    try:
        found = _search(name, device)
    except (MissingDependency, ImportError, DeviceError) as error:  # nothing is wrong: it cannot be chosen here
        return Finding(name, State.LIMITED, str(error))
    except (
        OrbmmError,
        RuntimeError,
    ) as error:  # RuntimeError: torch or Warp on a GPU, with lines of advice after the first
        return Finding(name, State.BROKEN, str(error).partition("\n")[0])
    same = all(
        torch.equal(getattr(found, part).cpu(), getattr(expected, part)) for part in ("senders", "receivers", "shifts")
    )
    edges = len(expected.senders)
    if same:
        return Finding(name, State.GOOD, f"finds the {edges} edges of the test box")
    return Finding(name, State.BROKEN, f"finds {len(found.senders)} edges where brute force finds {edges}")


def _search(name: str, device: str) -> EdgeList:
    generator = torch.Generator().manual_seed(1)
    positions = 10 * torch.rand(100, 3, dtype=torch.float64, generator=generator)  # (N, 3) [Å]
    cell = torch.tensor([[10.0, 0.0, 0.0], [2.0, 10.0, 0.0], [-3.0, 1.0, 10.0]], dtype=torch.float64)
    return find_edges(positions.to(device), cell.to(device), 4.5, None, name)
