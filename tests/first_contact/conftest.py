"""A stand-in GPU, a cache of the test's own, and networks on the GPU in which a fault can be planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from oracles.stand_in_gpu.device import stand_in_gpu
from oracles.stand_in_gpu.operators import Operators

from orbmm.first_contact import case
from orbmm.first_contact.meet import Atoms, meet
from orbmm.first_contact.record import Contact
from orbmm.forces.evaluator_cache import forget_evaluators
from orbmm.model.inference.execution import Execution
from orbmm.model.load import load_model
from orbmm.model.potential import Potential

CONSERVATIVE, DIRECT = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"
WATER = (8, 1, 1) * 15 + (6, 7)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, operators: Operators, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache; asked for after the stand-in, so that what a test patches in torch.cuda is put back before it."""
    monkeypatch.setenv("ORBMM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def operators() -> Iterator[Operators]:
    with stand_in_gpu() as counts:
        yield counts
        forget_evaluators()


@pytest.fixture
def small_box(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare 27 atoms instead of 64, where a test is about what is kept and not about the limits."""
    monkeypatch.setattr(case, "SITES_PER_EDGE", 3)


Spoil = Callable[[Potential], Potential]


def meet_spoiled(
    spoil: Spoil = lambda potential: potential,
    name: str = CONSERVATIVE,
    precision: str = "float32-high",
    periodic: bool = True,
    **options: object,
) -> Contact:
    """Return the first contact of a network on the stand-in GPU, after a fault is planted in it."""
    execution = Execution(**options)
    potential = spoil(load_model(name, device="cuda:0", precision=precision, execution=execution))
    with torch.inference_mode(False):
        return meet(
            potential, execution, Atoms(WATER, periodic), lambda kind: load_model(name, device="cpu", precision=kind)
        )
