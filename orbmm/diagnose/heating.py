"""Heating: short dynamics without a thermostat, whose total energy and temperatures must not grow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openmm import app, unit

from orbmm.checkpoints.catalog import element_symbol
from orbmm.diagnose.bonds import find_bonds
from orbmm.diagnose.field import Field, Place
from orbmm.errors import StructureError
from orbmm.run_files.diagnosis import Diagnostic
from orbmm.simulation.dynamics.thermometer import Elements, Thermometer
from orbmm.units import (
    ANGSTROM_PER_NM,
    EV_PER_KJ_PER_MOL,
    KJ_PER_MOL_NM_PER_EV_ANGSTROM,
    KJ_PER_MOL_PER_KELVIN,
)

LARGEST_HEATING = 5.0  # [K/ps]
LARGEST_DRIFT = 0.1  # [meV/atom/ps], the limit by which the time steps of the settings were chosen
LARGEST_SPREAD = 0.25  # [meV/atom], likewise
MEV_PER_KELVIN = 3.0 * KJ_PER_MOL_PER_KELVIN * EV_PER_KJ_PER_MOL * 1000.0
"""Energy of an atom for one kelvin, kinetic and potential, if it vibrates as a classical harmonic oscillator."""


@dataclass(frozen=True)
class Protocol:
    """The settings of the dynamics. kelvin: of the first velocities; hydrogen_amu: None for the usual mass"""

    timestep_fs: float = 0.5
    length_ps: float = 0.1
    kelvin: float = 300.0
    hydrogen_amu: float | None = None
    seed: int = 5


@dataclass(frozen=True)
class Trace:
    """Rows along the dynamics: times (R,) [ps], total energies (R,) [meV/atom], temperatures (R, G) [K].

    symbols: (G,) the elements; atoms: (G,) how many
    """

    time_ps: np.ndarray
    total: np.ndarray
    temperatures: np.ndarray
    symbols: tuple[str, ...]
    atoms: np.ndarray

    def fit_drift(self) -> tuple[float, float, float]:
        """Return the drift of the total energy, its standard error [meV/atom/ps], and the spread [meV/atom]."""
        slope, start = np.polyfit(self.time_ps, self.total, 1)
        rest = self.total - start - slope * self.time_ps
        spread = float(np.sqrt((rest**2).sum() / max(len(rest) - 2, 1)))
        width = float(np.sqrt(((self.time_ps - self.time_ps.mean()) ** 2).sum()))
        return float(slope), spread / width, spread

    def list_rises(self) -> dict[str, float]:
        """Return the rise of the temperature of each element from the first to the last fifth [K]."""
        fifth = max(1, len(self.time_ps) // 5)
        rises = self.temperatures[-fifth:].mean(axis=0) - self.temperatures[:fifth].mean(axis=0)
        return dict(zip(self.symbols, rises.tolist(), strict=True))

    def list_errors(self) -> dict[str, float]:
        """Return the standard error of each rise [K], as if the atoms were drawn once for each fifth.

        The temperature of n atoms at T varies by T sqrt(2 / 3n) between draws.
        """
        means = self.temperatures.mean(axis=0)
        return dict(zip(self.symbols, (means * np.sqrt(4.0 / (3.0 * self.atoms))).tolist(), strict=True))


def measure_heating(field: Field, place: Place, atomic_numbers: np.ndarray, protocol: Protocol) -> Diagnostic:
    """Return the heating: the drift of kinetic energy and the field's own energy, as a temperature.

    In steady dynamics at friction g the bath takes g (T - T0) of 3 k for each atom. So a system that heats by h K/ps is
    h / g too hot. Raises StructureError for a single atom.
    """
    if len(atomic_numbers) < 2:
        raise StructureError("a single atom feels no force, so that nothing can heat: give a structure of more atoms")
    trace = run_dynamics(field, place, atomic_numbers, protocol)
    drift, error, spread = trace.fit_drift()
    rises, errors = trace.list_rises(), trace.list_errors()
    hot = max(rises, key=lambda symbol: rises[symbol] / errors[symbol])
    return Diagnostic(
        "heating without a thermostat",
        drift / MEV_PER_KELVIN,
        "K/ps",
        LARGEST_HEATING,
        "at friction 1/ps a system that heats by 5 K/ps is 5 K too hot",
        {
            "standard_error_k_per_ps": error / MEV_PER_KELVIN,
            "drift_mev_per_atom_per_ps": drift,
            "spread_mev_per_atom": spread,
            "rise_k": rises,
            "rise_error_k": errors,
            "hottest_element": hot if rises[hot] > 2.0 * errors[hot] else None,
            "length_ps": protocol.length_ps,
            "timestep_fs": protocol.timestep_fs,
        },
    )


def measure_long_step(
    field: Field, place: Place, atomic_numbers: np.ndarray, protocol: Protocol
) -> tuple[Diagnostic, Diagnostic]:
    """Return drift and spread of the total energy at a long time step with heavy hydrogens."""
    drift, error, spread = run_dynamics(field, place, atomic_numbers, protocol).fit_drift()
    what = f"{protocol.timestep_fs:g} fs, hydrogens of {protocol.hydrogen_amu:g} g/mol"
    return (
        Diagnostic(
            f"drift at {what}",
            drift,
            "meV/atom/ps",
            LARGEST_DRIFT + min(2.0 * error, LARGEST_DRIFT),
            "the limit behind timestep_fs, 0.1, and two standard errors of this run, at most 0.1",
            {"standard_error": error, "length_ps": protocol.length_ps},
        ),
        Diagnostic(f"spread at {what}", spread, "meV/atom", LARGEST_SPREAD, "the limit behind timestep_fs"),
    )


def run_dynamics(field: Field, place: Place, atomic_numbers: np.ndarray, protocol: Protocol) -> Trace:
    """Run velocity Verlet from drawn velocities, and return what was seen after each step."""
    thermometer = _make_thermometer(place, atomic_numbers, protocol.hydrogen_amu)
    masses = thermometer.masses[:, None]  # (N, 1) [g/mol]
    random = np.random.default_rng(protocol.seed)
    velocities = np.sqrt(KJ_PER_MOL_PER_KELVIN * protocol.kelvin / masses) * random.standard_normal((len(masses), 3))
    velocities = thermometer.remove_drift(velocities)  # [nm/ps]
    step = protocol.timestep_fs / 1000.0  # [ps]
    found = field.evaluate(place)
    rows = []
    for number in range(max(5, round(protocol.length_ps / step))):
        velocities = velocities + 0.5 * step * KJ_PER_MOL_NM_PER_EV_ANGSTROM * found.forces / masses
        place = place.move(step * ANGSTROM_PER_NM * velocities)
        found = field.evaluate(place)
        velocities = velocities + 0.5 * step * KJ_PER_MOL_NM_PER_EV_ANGSTROM * found.forces / masses
        total = 0.5 * float((masses * velocities**2).sum()) * EV_PER_KJ_PER_MOL + found.energy  # [eV]
        rows.append([step * (number + 1), total, *thermometer.element_temperatures(velocities)])
    table = np.array(rows)
    totals = 1000.0 * (table[:, 1] - table[0, 1]) / len(masses)
    elements = thermometer.elements
    return Trace(table[:, 0], totals, table[:, 2:], elements.symbols, np.bincount(elements.index))


def _make_thermometer(place: Place, atomic_numbers: np.ndarray, hydrogen_amu: float | None) -> Thermometer:
    masses = np.array(
        [app.Element.getByAtomicNumber(int(one)).mass.value_in_unit(unit.dalton) for one in atomic_numbers]
    )
    if hydrogen_amu is not None:
        for heavy, hydrogen in find_bonds(atomic_numbers, place):
            if atomic_numbers[hydrogen] == 1 and atomic_numbers[heavy] > 1:
                masses[heavy] -= hydrogen_amu - masses[hydrogen]
                masses[hydrogen] = hydrogen_amu
    symbols = [element_symbol(int(one)) for one in atomic_numbers]
    unique, index = np.unique(symbols, return_inverse=True)
    return Thermometer(masses, max(3 * len(masses) - 3, 1), True, Elements(tuple(unique.tolist()), index))
