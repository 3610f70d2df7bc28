"""A box of the size that is simulated, 2,269 atoms and up to 150,000 edges, against the official implementation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from oracles.agreement import FLOAT32, Tolerance, list_disagreements
from oracles.orb_models_reference import VARIANTS, Variant, build_official_model, evaluate_official_model
from oracles.structures import read_rectangular_pdb

from orbmm.model.load import load_model

# Both sides round in float32, so that they may differ by twice what each is away from the truth.
BOTH_FLOAT32 = Tolerance(2 * FLOAT32.energy, 2 * FLOAT32.forces, 2 * FLOAT32.stress, 2 * FLOAT32.confidence)
# All edges inside the cutoff, the cap at 20 with a gradient, and charge with multiplicity.
STATES = {"orb-v3-direct-inf-omat": (), "orb-v3-conservative-20-omat": (), "orb-v3-direct-omol": (1, 2)}


@pytest.mark.slow
@pytest.mark.parametrize("name", STATES)
def test_a_solvated_peptide_is_predicted_as_by_orb_models(
    name: str, shared_structures: Path, official_weights: Callable[[Variant], Path]
) -> None:
    variant, state = VARIANTS[name], STATES[name]
    weights = official_weights(variant)
    structure = read_rectangular_pdb(shared_structures / "alanine_dipeptide_explicit.pdb")
    ours = load_model(variant.name, weights=weights, device="cpu", precision="float32-high").predict(
        structure.atomic_numbers, structure.positions, structure.cell, *state
    )
    official_model = build_official_model(variant, weights, torch.float32)
    official = evaluate_official_model(official_model, structure, *state)
    one_edge_less = evaluate_official_model(official_model, structure, *state, dropped_edges=1)
    assert list_disagreements(ours, official, BOTH_FLOAT32) == {}
    assert list_disagreements(ours, one_edge_less, BOTH_FLOAT32)
