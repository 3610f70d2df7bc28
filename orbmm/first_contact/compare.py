"""Compare a network on a GPU with the same network on the CPU, in float64 and in the GPU's own precision."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from orbmm.first_contact.case import Case
from orbmm.first_contact.emulation import TensorFloat32
from orbmm.graph.edges import EdgeList
from orbmm.model.network.orb import Prediction
from orbmm.model.potential import ENERGY_AND_FORCES, Potential

SAFETY = 4.0
"""A GPU may be wrong by this many times what the same precision costs on the CPU: it sums in another order."""

SMALLEST = {torch.float64: 1e-9, torch.float32: 2e-5}
"""Errors that are always allowed, in units of the root mean square force, by the type of sums and geometry."""

SMALLEST_CONFIDENCE = {torch.float64: 1e-7, torch.float32: 1e-4}
"""The same for a probability of the confidence head."""

HEAD_ACCURACY = 1e-6
"""Largest relative error of the energy head. Its scale is kept in float32, which gives 1e-7; TF32 gives 1e-3."""

CPU, GPU, AGAIN = "CPU in float64", "GPU", "GPU once more"
"""The evaluations of a comparison, by which its report names their answers."""

LoadOnCpu = Callable[[str], Potential]
"""Load the same weights on the CPU, in the precision of this name."""


@dataclass(frozen=True)
class Answers:
    """The answers of a network on all frames. energies: (F,) [eV]; forces: (F, N, 3) [eV/Å]; confidence: (F, N, B)."""

    energies: np.ndarray
    forces: np.ndarray
    confidence: np.ndarray | None


@dataclass(frozen=True)
class Errors:
    """Largest differences from float64 on the CPU, over frames and atoms.

    energy_mev_per_atom, forces_mev_per_angstrom (of a component); confidence: of a probability, None without that head
    """

    energy_mev_per_atom: float
    forces_mev_per_angstrom: float
    confidence: float | None


@dataclass(frozen=True)
class Comparison:
    """Errors of the GPU beside their limits, and what else was found.

    repeats: a second evaluation gave the same bits; weights_agree: the weights on the GPU are those of the file
    exact_head: the energy head gave what it gives in float64; its output is multiplied by the number of atoms
    """

    errors: Errors
    limits: Errors
    repeats: bool
    weights_agree: bool
    exact_head: bool


@dataclass(frozen=True)
class Reference:
    """The right answers for networks in one precision on one device.

    exact: the network in float64 on the CPU, twin: in the same precision; truth: the answers of exact, on all frames
    limits: what a network on the device may be wrong by; outputs: that are compared
    """

    exact: Potential
    twin: Potential
    device: torch.device
    truth: Answers
    limits: Errors
    outputs: frozenset[str]


def build_reference(
    potential: Potential, case: Case, load_on_cpu: LoadOnCpu, outputs: frozenset[str] | None = None
) -> Reference:
    """Return the reference for networks with the weights, the precision and the device of this one.

    outputs: None for energy, forces and, if the network has it, confidence
    """
    asked = outputs or list_outputs(potential)
    exact = load_on_cpu("float64")
    truth = evaluate(replace(exact, engine=None), case, asked)
    twin = load_on_cpu(potential.precision.name)
    is_cut = potential.precision.allows_tf32 and potential.device.type == "cuda"
    with TensorFloat32() if is_cut else nullcontext():
        rounded = evaluate(twin, case, asked)
    limits = derive_limits(measure_errors(rounded, truth), truth, potential.dtype)
    return Reference(exact, twin, potential.device, truth, limits, asked)


def compare(potential: Potential, case: Case, load_on_cpu: LoadOnCpu) -> tuple[Comparison, dict[str, Answers]]:
    """Compare a network on its device with the CPU; return what was found, and the answers it was found from."""
    return compare_with(potential, case, build_reference(potential, case, load_on_cpu))


def compare_with(potential: Potential, case: Case, reference: Reference) -> tuple[Comparison, dict[str, Answers]]:
    """Compare a network with a reference on the same case, as `compare` does."""
    found, again = (evaluate(potential, case, reference.outputs) for _ in range(2))
    comparison = Comparison(
        errors=measure_errors(found, reference.truth),
        limits=reference.limits,
        repeats=_are_equal(found, again),
        weights_agree=_weights_agree(potential, reference.twin),
        exact_head=_is_head_exact(potential, reference.exact, case),
    )
    return comparison, {CPU: reference.truth, GPU: found, AGAIN: again}


def list_outputs(potential: Potential) -> frozenset[str]:
    """Return the outputs that are compared: energy, forces and, if the network has it, confidence."""
    return ENERGY_AND_FORCES | ({"confidence"} & potential.network.available_outputs)


def evaluate(potential: Potential, case: Case, outputs: frozenset[str] | None = None) -> Answers:
    """Return the answers of a network on all frames. outputs: None for all of list_outputs

    They are read as soon as the network returns, without another wait: results that are not finished would show.
    """
    composition = potential.compose(case.atomic_numbers, case.charge, case.multiplicity)
    cell = None if case.cell is None else torch.from_numpy(case.cell).to(potential.device)
    asked = outputs or list_outputs(potential)
    found: list[Prediction] = []
    for frame in case.frames:
        positions = torch.from_numpy(frame).to(potential.device)
        found.append(_copy(potential.evaluate(composition, positions, cell, asked)))
    confidence = [_to_numpy(one.confidence) for one in found if one.confidence is not None]
    return Answers(
        energies=np.array([_to_numpy(one.energy).item() for one in found]),
        forces=np.stack([_to_numpy(one.forces) for one in found]),
        confidence=np.stack(confidence) if confidence else None,
    )


def _copy(prediction: Prediction) -> Prediction:
    """Return a prediction on the host."""
    names = ("energy", "forces", "confidence")
    known = {name: getattr(prediction, name) for name in names}
    return Prediction(**{name: None if value is None else value.cpu() for name, value in known.items()})


def _to_numpy(values: Tensor | None) -> np.ndarray:
    return np.zeros(0) if values is None else values.detach().to(torch.float64).numpy()


def measure_errors(found: Answers, truth: Answers) -> Errors:
    """Return the largest differences of answers from the truth; NaN in them gives infinity."""
    confidence = None
    if found.confidence is not None and truth.confidence is not None:
        confidence = _largest(found.confidence - truth.confidence)
    return Errors(
        energy_mev_per_atom=1000.0 * _largest(found.energies - truth.energies) / truth.forces.shape[1],
        forces_mev_per_angstrom=1000.0 * _largest(found.forces - truth.forces),
        confidence=confidence,
    )


def _largest(differences: np.ndarray) -> float:
    return float(np.abs(np.nan_to_num(differences, nan=np.inf, posinf=np.inf, neginf=np.inf)).max())


def derive_limits(emulated: Errors, truth: Answers, dtype: torch.dtype) -> Errors:
    """Return what the GPU may be wrong by, from the errors of the same precision on the CPU."""
    rms = 1000.0 * float(np.sqrt(np.mean(truth.forces**2)))  # [meV/Å]
    smallest = SMALLEST[dtype] * rms
    confidence = None
    if emulated.confidence is not None:
        confidence = SAFETY * emulated.confidence + SMALLEST_CONFIDENCE[dtype]
    return Errors(
        energy_mev_per_atom=SAFETY * emulated.energy_mev_per_atom + smallest,
        forces_mev_per_angstrom=SAFETY * emulated.forces_mev_per_angstrom + smallest,
        confidence=confidence,
    )


def _are_equal(one: Answers, other: Answers) -> bool:
    confident = one.confidence is not None and other.confidence is not None
    return (
        np.array_equal(one.energies, other.energies)
        and np.array_equal(one.forces, other.forces)
        and (not confident or np.array_equal(one.confidence, other.confidence))  # type: ignore[arg-type]
    )


def _is_head_exact(potential: Potential, exact: Potential, case: Case) -> bool:
    """Return True if the energy head gives what it gives on the CPU in float64, for the same node features.

    On the whole network an inexact head hides behind the rounding of all layers.
    """
    width = potential.network.architecture.latent_dim
    random = torch.Generator().manual_seed(1)
    nodes = torch.randn(len(case.atomic_numbers), width, generator=random, dtype=torch.float64).float()
    found, expected = (_read_head(each, nodes, case) for each in (potential, exact))
    scale = float(exact.network.get_buffer("heads.energy.normalizer.bn.running_var").sqrt())  # [eV/atom]
    return abs(found - expected) <= HEAD_ACCURACY * (abs(expected) + scale * len(nodes))


def _read_head(potential: Potential, nodes: Tensor, case: Case) -> float:
    composition = potential.compose(case.atomic_numbers, case.charge, case.multiplicity)
    positions = torch.zeros(len(nodes), 3, device=potential.device, dtype=torch.float64)
    none = torch.zeros(0, dtype=torch.int64, device=potential.device)
    edges = EdgeList(none, none, torch.zeros(0, 3, dtype=torch.int64, device=potential.device))
    graph = potential.make_graph(composition, positions, None, edges)
    with torch.no_grad(), potential.precision.in_force(potential.device):
        return float(potential.network.heads["energy"](nodes.to(potential.device, potential.dtype), graph).cpu())


def _weights_agree(potential: Potential, twin: Potential) -> bool:
    """Return True if every tensor on the device has the bits of that on the CPU."""
    ours, theirs = potential.network.state_dict(), twin.network.state_dict()
    return ours.keys() == theirs.keys() and all(
        torch.equal(tensor.detach().cpu(), theirs[name]) for name, tensor in ours.items()
    )
