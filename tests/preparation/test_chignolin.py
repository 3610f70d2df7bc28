"""A real protein, chignolin (1UAO): through to a box for a model that knows no ions, and for one that does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from orbmm.checkpoints.catalog import find_record
from orbmm.errors import PreparationError
from orbmm.preparation.elements import KnownElements
from orbmm.preparation.prepare import prepare_system
from orbmm.settings import SystemSettings, read_settings
from orbmm.settings.preparation import PreparationSettings

HCNO = KnownElements("small-model", frozenset({1, 6, 7, 8}))


@pytest.fixture(scope="module")
def system(shared_structures: Path, repository: Path) -> SystemSettings:
    recipe = read_settings(repository / "systems" / "chignolin" / "system.toml").system
    return dataclasses.replace(recipe, source=str(shared_structures / "1uao.pdb"), ph=3.5)


def test_it_is_neutral_at_a_low_ph(system: SystemSettings) -> None:
    record = prepare_system(system, PreparationSettings(equilibration_ps=0.1), HCNO).record
    assert {str(entry.residue): entry.form for entry in record.protonation} == {"ASP A:3": "ASH", "GLU A:5": "GLH"}
    assert (record.solute_charge, record.charge, record.solvation.ions_added) == (0, 0, {})
    assert record.atoms - 3 * record.solvation.waters_added == 140
    assert 900 < record.atoms < 1300
    assert all(warning.startswith("density") for warning in record.warnings)  # so short an equilibration


def test_at_ph_7_the_refusal_says_what_to_do(system: SystemSettings) -> None:
    with pytest.raises(PreparationError, match=r"charge -2 .*below 4\.4 ASP and GLU are neutral"):
        prepare_system(dataclasses.replace(system, ph=7.0), PreparationSettings(), HCNO)


def test_at_the_ph_of_the_recipe_sodium_makes_it_neutral(system: SystemSettings) -> None:
    model = find_record("orb-mini-conservative-inf-proteins")
    known = KnownElements(model.name, frozenset(model.elements))
    record = prepare_system(
        dataclasses.replace(system, ph=7.0), PreparationSettings(equilibration_ps=0.0, minimization_steps=1), known
    ).record
    assert (record.solute_charge, record.charge, record.solvation.ions_added) == (-2, 0, {"NA": 2})
