"""Trp-cage (1L2Y), all amino acids of which are H, C, N and O: neutral at pH 11."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from orbmm.preparation.elements import KnownElements
from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.solute import Solute, build_solute
from orbmm.settings import Settings, read_settings


@pytest.fixture(scope="module")
def settings(shared_structures: Path, repository: Path) -> Settings:
    recipe = read_settings(repository / "systems" / "trp-cage" / "system.toml")
    return dataclasses.replace(
        recipe, system=dataclasses.replace(recipe.system, source=str(shared_structures / "1l2y.pdb"))
    )


def build(settings: Settings, ph: float) -> Solute:
    system = dataclasses.replace(settings.system, ph=ph)
    return build_solute(system, settings.preparation, KnownElements("small-model", frozenset({1, 6, 7, 8})))


def test_it_is_neutral_where_its_lysine_is(settings: Settings) -> None:
    solute = build(settings, 11.0)
    assert {entry.residue: entry.form for entry in solute.protonation} == {"LYS A:8": "LYN", "ASP A:9": "ASP"}
    assert sum_charge(solute.modeller.topology) == 0
    assert solute.modeller.topology.getNumAtoms() == 303
    assert solute.repairs is not None and (solute.repairs.models, solute.repairs.warnings) == (38, ())


def test_it_is_positive_at_the_ph_of_its_recipe(settings: Settings) -> None:
    assert sum_charge(build(settings, settings.system.ph).modeller.topology) == 1
