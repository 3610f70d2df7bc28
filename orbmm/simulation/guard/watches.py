"""The checks of the guard: bonds, temperature of all atoms and of each element, expected force errors."""

from __future__ import annotations

import logging
from collections import deque

import numpy as np
from openmm import app
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import chdtri

from orbmm.forces.confidence import AtomConfidence
from orbmm.geometry import take_nearest
from orbmm.kinds import NON_METALS
from orbmm.simulation.dynamics.frame import Frame
from orbmm.simulation.dynamics.thermometer import Thermometer
from orbmm.simulation.start.selection import name_atoms

_LOG = logging.getLogger(__name__)
_SHORTEST_NM = 0.09  # only the bond of hydrogen gas is shorter at equilibrium; a poor start may compress one


_CHANCE = 1e-12
"""Probability that a group of atoms of a stable run is above its limit in one check.

The temperature of a few atoms fluctuates widely, and a run makes about a million checks.
"""


class BondWatch:
    """The check of the bonds of the topology, without bonds to metals; each has a largest length."""

    def __init__(self, topology: app.Topology, positions: np.ndarray, box: np.ndarray | None, factor: float) -> None:
        """Measure the bonds at the start.

        positions: (N, 3) at the start [nm]; box: (3, 3) rows [nm] or None
        factor: largest length of a bond, as a multiple of its length at the start
        """
        self._topology = topology
        pairs = [sorted((one.index, other.index)) for one, other in topology.bonds() if _is_covalent(one, other)]
        self._pairs = np.array(pairs, dtype=np.intp).reshape(-1, 2)  # (B, 2)
        self._start = np.maximum(self._measure(positions, box), _SHORTEST_NM)  # (B,)
        self._factor = factor
        if topology.getNumAtoms() > 1 and not pairs:
            _LOG.warning("the topology has no bonds, so none is checked; a PDB needs CONECT or standard residues")

    def find_fault(self, positions: np.ndarray, box: np.ndarray | None) -> str | None:
        """Return a sentence about the bond that is most stretched, or None if no bond is broken."""
        lengths = self._measure(positions, box)
        broken = np.flatnonzero(~(lengths <= self._factor * self._start))
        if not broken.size:
            return None
        worst = broken[np.argmax(lengths[broken] / self._start[broken])]
        others = f", {broken.size - 1} more bonds as well" if broken.size > 1 else ""
        return (
            f"the bond of {name_atoms(self._topology, self._pairs[worst])} is broken: {lengths[worst]:.3f} nm long, "
            f"{lengths[worst] / self._start[worst]:.1f} times its length at the start{others}"
            f"{self._describe_fragments(broken)}"
        )

    def _measure(self, positions: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        """Return the lengths of the bonds (B,) [nm] between nearest images."""
        vectors = positions[self._pairs[:, 1]] - positions[self._pairs[:, 0]]
        if box is not None:
            vectors = take_nearest(vectors, box)
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)))

    def _describe_fragments(self, broken: np.ndarray) -> str:
        """Return at which residue a molecule falls apart without these bonds, as the end of a sentence, or ''."""
        atoms = list(self._topology.atoms())
        left = np.delete(self._pairs, broken, axis=0)
        graph = coo_array((np.ones(len(left)), (left[:, 0], left[:, 1])), shape=(len(atoms), len(atoms)))
        piece = connected_components(graph, directed=False)[1]
        apart = [atoms[one].residue for one, other in self._pairs[broken] if piece[one] != piece[other]]
        if not apart:
            return ""
        more = f", {len(apart) - 1} more breaks" if len(apart) > 1 else ""
        return f"; the molecule falls apart at {apart[0].name} {apart[0].id}{more}"


def _is_covalent(one: app.topology.Atom, other: app.topology.Atom) -> bool:
    return all(atom.element is not None and atom.element.symbol in NON_METALS for atom in (one, other))


_CHECKS_AVERAGED = 16
_HOT_SHARE = 0.25
_HOT_DEVIATIONS = 4.0


class HeatWatch:
    """The check of the temperatures of all atoms and of each element. It remembers which element ran hot first."""

    def __init__(
        self, topology: app.Topology, thermometer: Thermometer, bath_kelvin: float, limit_kelvin: float
    ) -> None:
        """Compute the limits of each element. bath_kelvin: mean of the temperatures"""
        self._topology = topology
        self._thermometer = thermometer
        self._limit = limit_kelvin
        degrees = np.maximum(thermometer.element_degrees, 1.0)  # (G,)
        self._limits = np.maximum(limit_kelvin, bath_kelvin * chdtri(degrees, _CHANCE) / degrees)  # (G,)
        # Neighbouring checks are correlated: half of them count as independent.
        deviation = np.sqrt(2.0 / (degrees * (_CHECKS_AVERAGED / 2)))
        self._hot = bath_kelvin * (1.0 + np.maximum(_HOT_SHARE, _HOT_DEVIATIONS * deviation))  # (G,)
        self._recent: deque[np.ndarray] = deque(maxlen=_CHECKS_AVERAGED)
        self._first = ""

    def find_fault(self, frame: Frame) -> str | None:
        """Return a sentence about atoms that are too hot, or None."""
        temperatures = np.array(list(frame.element_temperatures.values()))  # (G,)
        if not frame.temperature <= self._limit:
            everything = np.arange(len(self._thermometer.masses))
            return (
                f"the temperature is {frame.temperature:.0f} K, above the limit of {self._limit:.0f} K"
                f"{self._name_hottest(everything, frame)}"
            )
        hot = np.flatnonzero(~(temperatures <= self._limits))
        if not hot.size:
            self._remember(temperatures, frame.time_ps)
            return None
        hottest = hot[np.argmax(temperatures[hot] / self._limits[hot])]
        elements = self._thermometer.elements
        members = np.flatnonzero(elements.index == hottest)
        return (
            f"the temperature of the {members.size} {elements.symbols[hottest]} is {temperatures[hottest]:.0f} K, "
            f"above the limit of {self._limits[hottest]:.0f} K{self._name_hottest(members, frame)}"
        )

    def _remember(self, temperatures: np.ndarray, time_ps: float) -> None:
        """Note the first element whose mean over the last checks is above what chance allows. temperatures: (G,) [K]"""
        self._recent.append(temperatures)
        if self._first or len(self._recent) < _CHECKS_AVERAGED:
            return
        mean = np.mean(self._recent, axis=0)  # (G,)
        worst = int(np.argmax(mean / self._hot))
        if mean[worst] > self._hot[worst]:
            symbol = self._thermometer.elements.symbols[worst]
            self._first = f"; {symbol} ran hot first ({mean[worst]:.0f} K until {time_ps:.3f} ps)"

    def _name_hottest(self, members: np.ndarray, frame: Frame) -> str:
        """Return the hottest of these atoms and the element that ran hot first, as the end of a sentence."""
        kinetic = self._thermometer.masses * np.einsum("ij,ij->i", frame.velocities, frame.velocities)  # (N,)
        hottest = name_atoms(self._topology, [int(members[np.argmax(kinetic[members])])])
        return f"; hottest is {hottest}{self._first}"


class ConfidenceWatch:
    """The check of the mean expected force error of all atoms."""

    def __init__(self, topology: app.Topology, factor: float, reference: float | None) -> None:
        """Set the limit: factor times reference.

        reference: mean error at the start [eV/Å]; None takes that of the first frame
        """
        self._topology = topology
        self._factor = factor
        self._reference = reference

    def find_fault(self, confidence: AtomConfidence) -> str | None:
        """Return a sentence about errors that have grown too much, or None."""
        mean = confidence.mean_error
        if self._reference is None:
            self._reference = mean
        if mean <= self._factor * self._reference:
            return None
        worst = name_atoms(self._topology, [int(np.nanargmax(confidence.errors))])
        return (
            f"the model expects force errors of {mean:.3f} eV/Å on average, {mean / self._reference:.1f} times those "
            f"of the start and above the limit of {self._factor:g} times: the structure is unlike its training data; "
            f"worst is {worst}"
        )
