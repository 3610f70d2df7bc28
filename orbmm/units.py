"""Conversion factors between the units of torch rooms (Å, eV) and OpenMM rooms (nm, kJ/mol), from openmm.unit."""

from __future__ import annotations

from typing import Any

from openmm import unit

ANGSTROM_PER_NM = unit.nanometer.conversion_factor_to(unit.angstrom)
NM_PER_ANGSTROM = 1.0 / ANGSTROM_PER_NM
ANGSTROM_PER_BOHR = unit.bohr.conversion_factor_to(unit.angstrom)

_ELECTRONVOLT = 1.0 * unit.elementary_charge * unit.volt * unit.AVOGADRO_CONSTANT_NA
KJ_PER_MOL_PER_EV = _ELECTRONVOLT.value_in_unit(unit.kilojoule_per_mole)
EV_PER_KJ_PER_MOL = 1.0 / KJ_PER_MOL_PER_EV
KJ_PER_MOL_NM_PER_EV_ANGSTROM = KJ_PER_MOL_PER_EV * ANGSTROM_PER_NM
EV_PER_HARTREE = (1.0 * unit.hartree * unit.AVOGADRO_CONSTANT_NA).value_in_unit(
    unit.kilojoule_per_mole
) * EV_PER_KJ_PER_MOL
KJ_PER_MOL_PER_KELVIN = unit.MOLAR_GAS_CONSTANT_R.value_in_unit(unit.kilojoule_per_mole / unit.kelvin)


def take_angstrom(values: Any) -> Any:
    """Return lengths in Å, without a unit; values without one are taken as Å. Raises TypeError for another unit."""
    return values.value_in_unit(unit.angstrom) if isinstance(values, unit.Quantity) else values
