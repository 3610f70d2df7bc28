"""Fields with closed forms: a good one, and one for each fault that a diagnostic must find."""

from __future__ import annotations

import numpy as np

from orbmm.diagnose.field import Answer, Field, Place


class Springs(Field):
    """A spring between each pair of atoms, 1 eV/Å^2 and 1.5 Å: invariant and conservative."""

    def evaluate(self, place: Place) -> Answer:
        vectors = place.positions[:, None] - place.positions[None]  # (N, N, 3)
        lengths = np.linalg.norm(vectors, axis=-1) + np.eye(len(vectors)) * 1.5
        forces = -((lengths - 1.5) / lengths)[:, :, None] * vectors
        return Answer(0.25 * float(((lengths - 1.5) ** 2).sum()), forces.sum(axis=1))


class Trap(Field):
    """Each atom is held at the origin with k [eV/Å^2] and pushed round the z axis with c: a curl, unless c is 0."""

    def __init__(self, k: float, c: float) -> None:
        self.k, self.c = k, c

    def evaluate(self, place: Place) -> Answer:
        push = np.cross([0.0, 0.0, 1.0], place.positions)
        return Answer(0.5 * self.k * float((place.positions**2).sum()), -self.k * place.positions + self.c * push)


class Dipole(Field):
    """Charges in a field along z, which no rotation turns: an energy that depends on orientation."""

    def __init__(self, charges: np.ndarray, strength: float) -> None:
        self.charges, self.strength = charges, strength

    def evaluate(self, place: Place) -> Answer:
        forces = self.strength * self.charges[:, None] * np.array([0.0, 0.0, 1.0])
        return Answer(-float((forces * place.positions).sum()), forces)


class Growing(Trap):
    """A trap whose energy grows with each evaluation, by as much [eV]."""

    def __init__(self, k: float, growth: float) -> None:
        super().__init__(k, 0.0)
        self.growth, self.calls = growth, 0

    def evaluate(self, place: Place) -> Answer:
        self.calls += 1
        found = super().evaluate(place)
        return Answer(found.energy + self.growth * self.calls, found.forces)


def scatter_atoms(count: int = 12, seed: int = 0) -> Place:
    """Atoms at random, some 1 Å from the origin."""
    return Place(np.random.default_rng(seed).normal(size=(count, 3)))
