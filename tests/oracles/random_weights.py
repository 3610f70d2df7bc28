"""Random state dicts in which nothing sits at its default, and potentials with such weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from orbmm.checkpoints.catalog import CheckpointRecord, find_record
from orbmm.model.inference.engine import Engine
from orbmm.model.inference.memory import MemoryUse
from orbmm.model.load import assemble_network, make_network
from orbmm.model.potential import Potential
from orbmm.model.precision import find_precision

CPU = torch.device("cpu")
KEPT = (
    "num_batches_tracked",
    "bin_edges",
    "rbf_transform.bessel_weights",
    "rbf_transform.r_max",
    "rbf_transform.prefactor",
)


def randomize_state_dict(tensors: Mapping[str, torch.Tensor], seed: int, omol: bool) -> dict[str, torch.Tensor]:
    """Random tensors of the given names and shapes in float32, of a size that training could have left.

    omol: whether the reference energies are total energies of all electrons (hundreds of eV and more an atom).
    """
    generator = torch.Generator().manual_seed(seed)
    return {name: _randomize(name, tensor, generator, omol) for name, tensor in tensors.items()}


def make_random_potential(name: str, seed: int = 1, precision: str = "float64", **changes: object) -> Potential:
    """A potential with random weights and no file behind them; changes: fields of its record to replace."""
    record = replace(find_record(name), **changes)
    tensors = randomize_state_dict(make_network(record).state_dict(), seed, record.takes_charge)
    return wrap_state_dict(record, tensors, precision)


def wrap_state_dict(
    record: CheckpointRecord, tensors: Mapping[str, torch.Tensor], precision: str = "float64"
) -> Potential:
    """A potential on the CPU from tensors in memory."""
    arithmetic = find_precision(precision)
    network = assemble_network(record, tensors).to(CPU, arithmetic.dtype)
    engine = Engine(network, arithmetic, MemoryUse(), CPU)
    return Potential(record, network, "0" * 64, CPU, arithmetic, engine=engine)


def _randomize(name: str, tensor: torch.Tensor, generator: torch.Generator, omol: bool) -> torch.Tensor:
    noise = torch.randn(tensor.shape, generator=generator)
    if name.endswith(KEPT):
        return tensor.clone()
    if name == "heads.forces.normalizer.bn.running_mean":
        return torch.zeros_like(noise)  # orb-models 0.5.5 does not subtract it with the mean force
    if name.endswith("running_var"):
        return 0.5 + noise.abs()
    if name.endswith("reference.linear.weight"):
        return _choose_reference_energies(omol).reshape(tensor.shape) + noise
    if name.endswith("layer_norm.weight"):
        return 1.0 + 0.2 * noise
    if name.endswith("weight") and "atom_emb" not in name:
        return noise * (2.0 / tensor.shape[-1]) ** 0.5  # keeps the variance through SiLU, roughly
    return 0.3 * noise if name.endswith("bias") else noise


def _choose_reference_energies(omol: bool) -> torch.Tensor:
    """Energies of lone atoms [eV], (118,): of all electrons for omol, a few eV of binding for omat."""
    number = torch.arange(118.0)
    return -14.0 * number**2.3 if omol else -3.0 - 0.05 * number
