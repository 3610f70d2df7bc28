"""The official implementation, orb-models 0.5.5, as an oracle: weights files of its making and what it predicts.

Three habits of it are worked around. Its ZBL constants take the default dtype of the moment of construction, so models
are built under the dtype they run in. Its half-supercell graph, automatic from 5,000 atoms, loses edges, so it is off.
It subtracts the mean force before it denormalises, so the running mean of forces is zero in every weights file.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.random_weights import randomize_state_dict
from oracles.structures import Structure

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Variant:
    """One published kind of model, by what orb-models needs to build it."""

    name: str
    conservative: bool
    max_neighbors: int
    omol: bool

    @property
    def weights_name(self) -> str:
        """Models that differ only in the neighbour cap can share a weights file."""
        return f"{'conservative' if self.conservative else 'direct'}-{'omol' if self.omol else 'omat'}.ckpt"


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("orb-v3-direct-20-omat", conservative=False, max_neighbors=20, omol=False),
        Variant("orb-v3-direct-inf-omat", conservative=False, max_neighbors=120, omol=False),
        Variant("orb-v3-conservative-20-omat", conservative=True, max_neighbors=20, omol=False),
        Variant("orb-v3-conservative-inf-omat", conservative=True, max_neighbors=120, omol=False),
        Variant("orb-v3-direct-omol", conservative=False, max_neighbors=120, omol=True),
        Variant("orb-v3-conservative-omol", conservative=True, max_neighbors=120, omol=True),
    )
}


@dataclass(frozen=True)
class Reference:
    """What orb-models predicts, as float64.

    energy [eV], forces: (N, 3) [eV/Å], stress: (6,) [eV/Å^3] or None, confidence: (N, 50)
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None
    confidence: np.ndarray


def require_orb_models() -> None:
    """Skip where orb-models is not installed; fail where ORBMM_EXPECT_ORACLE=1 promises that it is."""
    if os.environ.get("ORBMM_EXPECT_ORACLE") == "1":
        import orb_models  # noqa: F401
    pytest.importorskip("orb_models", reason="orb-models 0.5.5, the oracle, is not installed")


@contextlib.contextmanager
def foreign_code(dtype: torch.dtype) -> Iterator[None]:
    """Run orb-models under another default dtype and without its warnings; put back what was there whatever happens."""
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(previous)


def build_official_model(variant: Variant, weights: Path | None = None, dtype: torch.dtype = torch.float64):
    """The official model in inference mode, on the CPU, with the weights of a file or as it initialises itself."""
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.atomic_system import SystemConfig

    kind = "conservative" if variant.conservative else "direct"
    build = getattr(pretrained, f"orb_v3_{kind}_architecture")
    with foreign_code(dtype):
        model = build(
            device=CPU,
            has_charge_spin_cond=variant.omol,
            # The conservative omol model is published without stress, but its energy has one like any other.
            has_stress=variant.conservative or not variant.omol,
            system_config=SystemConfig(radius=6.0, max_num_neighbors=variant.max_neighbors),
        )
    if weights is not None:
        model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval().requires_grad_(False)


def write_official_weights(variant: Variant, path: Path, seed: int) -> Path:
    """Write random weights as the official files are: every tensor of the model, unused ones too, in float32."""
    tensors = build_official_model(variant, dtype=torch.float32).state_dict()
    torch.save(randomize_state_dict(tensors, seed, variant.omol), path)
    return path


def evaluate_official_model(
    model: torch.nn.Module,
    structure: Structure,
    charge: int | None = None,
    multiplicity: int | None = None,
    dropped_edges: int = 0,
) -> Reference:
    """Predict in the dtype that the model has; dropped_edges: leave that many of the first atom's nearest edges out."""
    with foreign_code(next(model.parameters()).dtype):
        graph = _build_graph(model, structure, charge, multiplicity)
        output = model.predict(_drop_edges(graph, dropped_edges))
    prefix = "grad_" if "grad_forces" in output else ""
    stress = output.get(prefix + "stress") if structure.cell is not None else None
    return Reference(
        energy=output["energy"].double().item(),
        forces=output[prefix + "forces"].double().numpy(),
        stress=None if stress is None else stress.double().numpy().reshape(6),
        confidence=output["confidence"].double().numpy(),
    )


def _build_graph(model: torch.nn.Module, structure: Structure, charge: int | None, multiplicity: int | None):
    """The complete official graph of a structure: without the half-supercell shortcut."""
    import ase
    from orb_models.forcefield.atomic_system import ase_atoms_to_atom_graphs

    atoms = ase.Atoms(
        structure.atomic_numbers, structure.positions, cell=structure.cell, pbc=structure.cell is not None
    )
    if charge is not None:
        atoms.info.update(charge=charge, spin=multiplicity)
    return ase_atoms_to_atom_graphs(atoms, model.system_config, half_supercell=False, device=CPU)


def _drop_edges(graph, count: int):
    """The graph without its first edges, which are those of atom 0 by distance."""
    return graph._replace(
        senders=graph.senders[count:],
        receivers=graph.receivers[count:],
        edge_features={name: values[count:] for name, values in graph.edge_features.items()},
        n_edge=graph.n_edge - count,
    )
