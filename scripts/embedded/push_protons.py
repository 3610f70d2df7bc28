"""Move protons along hydrogen bonds in frames that exist: what classical dynamics never shows, and a network must know.

    python scripts/embedded/push_protons.py protons.npz --frames training-data/fragments.npz training-data/residues.npz

Without such frames a network has holes there: in a first run of chignolin a proton went from the one end of the chain
to the other. From each frame that is drawn one hydrogen moves to a point between its donor and an acceptor, and the
acceptor's molecule comes nearer to the donor. Labels are to be made anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from push_ions import draw, run, wrap
from scipy.sparse.csgraph import connected_components

from orbmm.training.data.frames import Frame

POLAR = (7, 8)
LONGEST_BOND = {True: 1.3, False: 1.9}  # [Å] with a hydrogen, without one; metals are not joined
METALS = (11, 17, 30)
LONGEST_HYDROGEN_BOND = 2.2  # [Å] between hydrogen and acceptor
BETWEEN_HEAVY = (2.35, 2.9)  # [Å] donor to acceptor, drawn evenly
LEAST_TO_HEAVY = 0.92  # [Å] of the hydrogen to donor and acceptor
LEAST_TO_OTHERS = 0.85  # [Å] of any two atoms, but hydrogen and its partners
SHARE_OF_WATERS = 0.3  # of the frames in which donor and acceptor are both of water


def push(frame: Frame, generator: np.random.Generator) -> Frame | None:
    """Return a frame in which one hydrogen has moved along its hydrogen bond; None where there is none or no room."""
    bonds = list_hydrogen_bonds(frame)
    if not len(bonds):
        return None
    donor, hydrogen, acceptor = generator.choice(bonds)
    both_water = not frame.peptide[[donor, acceptor]].any()
    if both_water and generator.random() > SHARE_OF_WATERS:
        return None
    positions = np.array(frame.positions)
    to_acceptor = wrap(positions[acceptor] - positions[donor], frame.cell)
    length = float(np.linalg.norm(to_acceptor))
    direction = to_acceptor / length
    molecules = find_molecules(frame)
    if molecules[donor] != molecules[acceptor]:
        wanted = min(length, generator.uniform(*BETWEEN_HEAVY))
        positions[molecules == molecules[acceptor]] -= (length - wanted) * direction
        length = wanted
    if length < 2 * LEAST_TO_HEAVY:
        return None
    positions[hydrogen] = positions[donor] + generator.uniform(LEAST_TO_HEAVY, length - LEAST_TO_HEAVY) * direction
    pushed = replace(frame, positions=positions, group="pushed-proton", energy=None, forces=None, stress=None)
    return None if measure_distances(pushed).min() < LEAST_TO_OTHERS else pushed


def list_hydrogen_bonds(frame: Frame) -> np.ndarray:
    """Return (B, 3) donor, hydrogen and acceptor of all hydrogen bonds between nitrogen and oxygen."""
    distances = measure_distances(frame)
    polar = np.isin(frame.atomic_numbers, POLAR)
    hydrogens = np.flatnonzero(frame.atomic_numbers == 1)
    donors = distances[hydrogens].argmin(axis=1)
    near = (distances[hydrogens] < LONGEST_HYDROGEN_BOND) & polar & polar[donors][:, None]
    near[np.arange(len(hydrogens)), donors] = False
    rows, acceptors = np.nonzero(near)
    return np.stack([donors[rows], hydrogens[rows], acceptors], axis=1)


def find_molecules(frame: Frame) -> np.ndarray:
    """Return (N,) the number of the molecule that each atom is of, by distances."""
    distances = measure_distances(frame)
    is_hydrogen = frame.atomic_numbers == 1
    longest = np.where(is_hydrogen[:, None] | is_hydrogen, LONGEST_BOND[True], LONGEST_BOND[False])
    bonded = distances < np.where(is_hydrogen[:, None] & is_hydrogen, 0.0, longest)
    metal = np.isin(frame.atomic_numbers, METALS)
    bonded[metal] = bonded[:, metal] = False
    return connected_components(bonded)[1]


def measure_distances(frame: Frame) -> np.ndarray:
    """Return (N, N) distances [Å], infinite on the diagonal."""
    steps = wrap(frame.positions[:, None] - frame.positions[None], frame.cell)
    distances = np.linalg.norm(steps, axis=-1)
    np.fill_diagonal(distances, np.inf)
    return distances


def push_some(frames: Sequence[Frame], count: int, seed: int) -> Iterator[Frame]:
    """Yield so many frames, each from a frame drawn at random."""
    generator = np.random.default_rng(seed)
    return draw(
        lambda _: push(frames[generator.integers(len(frames))], generator), count, "have a hydrogen bond with room"
    )


if __name__ == "__main__":
    run(push_some, __doc__, 600)
