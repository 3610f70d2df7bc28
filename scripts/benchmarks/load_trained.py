"""Load trained weights with orb-models in its own environment, without orbmm.

    PEER-PYTHON scripts/benchmarks/load_trained.py KIND WEIGHTS.ckpt ATOMS.npz ANSWER.npz

KIND is conservative or direct; ATOMS.npz holds atomic_numbers, and positions [Å] of a structure without a cell. Writes
the version of orb-models, the energy [eV] and the forces [eV/Å] in float32. Loading is strict: every tensor, no other.
"""

from __future__ import annotations

import sys
import warnings
from importlib import metadata
from pathlib import Path

import ase
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "orbmm" / "benchmark"))  # no orbmm is installed there
from peer_process import build_model


def main(kind: str, weights: str, atoms: str, answer: str) -> None:
    """Write what orb-models predicts with these weights."""
    model, make_graph = build_model({"kind": kind, "device": "cpu", "max_neighbors": 120, "has_stress": True})
    model.load_state_dict(torch.load(weights, weights_only=True))
    archive = np.load(atoms)
    output = model.predict(make_graph(ase.Atoms(archive["atomic_numbers"], archive["positions"])))
    forces = output["grad_forces"] if "grad_forces" in output else output["forces"]
    np.savez(
        answer,
        version=metadata.version("orb-models"),
        energy=output["energy"].detach().double().numpy(),
        forces=forces.detach().double().numpy(),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(*sys.argv[1:])
