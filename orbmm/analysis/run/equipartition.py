"""Temperature of each element, from the velocities in the checkpoints: do light and heavy atoms have the same?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc

from orbmm.analysis.result import NothingToMeasure, Result
from orbmm.errors import AnalysisError, StructureError
from orbmm.kinds import is_hydrogen
from orbmm.run_files.checkpoints import PRODUCTION, STATE_FILE, list_checkpoints
from orbmm.run_files.state_xml import read_state
from orbmm.units import KJ_PER_MOL_PER_KELVIN

_METHOD = (
    "Temperature of the atoms of each element from their velocities, 3 degrees of freedom an atom and masses of the "
    "elements (or as the run shifted them to hydrogens), in checkpoints ({snapshots}) at {times} ps: "
    "trajectories hold no velocities, and a run keeps its last "
    "checkpoints only. The chance is that of a share of the kinetic energy at least as far off on its "
    "side, twice; in a bath of any temperature the share follows a beta distribution. Checkpoints near each other are "
    "no independent samples, which makes chances look smaller than they are."
)


def compute_equipartition(
    checkpoints: Path, topology: md.Topology, discard_ps: float = 0.0, hydrogen_amu: float | None = None
) -> Result:
    """Compute temperature of each element [K], how widely it fluctuates, and the chance of what was found.

    checkpoints: folder of a run. topology: of the same atoms. discard_ps: earlier checkpoints are left out; so is the
    one at step 0, whose velocities were drawn and not simulated. hydrogen_amu: mass that hydrogens were given at the
    cost of the atoms that they are bonded to; None when they have their own.
    Raises NothingToMeasure without two elements or without a checkpoint to look at, AnalysisError for other atoms or a
    damaged file.
    """
    symbols, group = np.unique([atom.element.symbol for atom in topology.atoms], return_inverse=True)
    if len(symbols) < 2:
        raise NothingToMeasure("all atoms are of one element")
    masses = _list_masses(topology, hydrogen_amu)
    sums, times = np.zeros(len(symbols)), []
    for snapshot in read_snapshots(checkpoints):
        if len(snapshot.velocities) != topology.n_atoms:
            raise AnalysisError(
                f"{checkpoints}: a checkpoint has {len(snapshot.velocities)} atoms, but the topology {topology.n_atoms}"
            )
        if snapshot.step > 0 and snapshot.time_ps >= discard_ps:
            kinetic = 0.5 * masses * (snapshot.velocities**2).sum(axis=1)  # (N,) [kJ/mol]
            sums += np.bincount(group, weights=kinetic)
            times.append(snapshot.time_ps)
    if not times:
        raise NothingToMeasure("no checkpoint with velocities after the start")
    return _collect(symbols, np.bincount(group), sums, times)


def _list_masses(topology: md.Topology, hydrogen_amu: float | None) -> NDArray[np.float64]:
    """Return masses (N,) [g/mol] of the elements, or with mass shifted from heavy atoms to the hydrogens bonded to
    them.
    """
    masses = np.array([atom.element.mass for atom in topology.atoms])
    if hydrogen_amu is None:
        return masses
    own = masses.copy()
    for pair in topology.bonds:
        hydrogens = [atom.index for atom in pair if is_hydrogen(atom)]
        if len(hydrogens) == 1:
            (heavy,) = (atom.index for atom in pair if atom.index != hydrogens[0])
            masses[heavy] -= hydrogen_amu - own[hydrogens[0]]
            masses[hydrogens[0]] = hydrogen_amu
    return masses


def _collect(
    symbols: NDArray[np.str_], atoms: NDArray[np.int64], sums: NDArray[np.float64], times: list[float]
) -> Result:
    freedom = 3.0 * atoms * len(times)  # (G,)
    share = sums / sums.sum()  # (G,), of the kinetic energy
    alpha, beta = 0.5 * freedom, 0.5 * (freedom.sum() - freedom)
    chance = np.minimum(1.0, 2.0 * np.minimum(betainc(alpha, beta, share), betaincc(alpha, beta, share)))
    kelvin = 2.0 * sums.sum() / (KJ_PER_MOL_PER_KELVIN * freedom.sum())
    values = {
        "element": symbols,
        "atoms": atoms,
        "temperature": 2.0 * sums / (KJ_PER_MOL_PER_KELVIN * freedom),
        "fluctuation": kelvin * np.sqrt(2.0 / freedom),
        "chance": chance,
        "kelvin": kelvin,
        "chance_smallest": chance.min(),
        "snapshots": len(times),
    }
    units = dict.fromkeys(("temperature", "fluctuation", "kelvin"), "K")
    told = ", ".join(f"{time:.6g}" for time in times)
    method = _METHOD.format(snapshots=len(times), times=told)
    return Result.of("equipartition", method, "element", values, units, len(times))


@dataclass(frozen=True)
class Snapshot:
    """velocities: (N, 3) [nm/ps] at time_ps [ps]."""

    step: int
    time_ps: float
    velocities: NDArray[np.float64]


def read_snapshots(checkpoints: Path) -> Iterator[Snapshot]:
    """Yield the checkpoints of production, the earliest first. Raises AnalysisError for a damaged one."""
    for checkpoint in list_checkpoints(checkpoints):
        if checkpoint.phase != PRODUCTION:
            continue
        path = checkpoint.path / STATE_FILE
        try:
            state = read_state(path)
        except FileNotFoundError:
            continue  # a run that goes on removes its oldest checkpoint
        except (OSError, StructureError) as error:
            raise AnalysisError(f"{path}: cannot be read as a state of OpenMM ({error}); resume the run") from error
        if state.velocities is None:
            raise AnalysisError(f"{path}: holds no velocities; resume the run")
        yield Snapshot(state.step, state.time_ps, state.velocities)
