"""The row that is taken: the fastest whose answers pass, by numbers that are made up here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from orbmm.model.inference.execution import Execution
from orbmm.tuning.choose import choose, count_worthy_steps
from orbmm.tuning.record import Row


def row(seconds: float, fault: str | None = None, first_s: float = 0.0, **execution: object) -> Row:
    return Row(Execution(**execution), seconds, seconds, first_s, fault)


@pytest.mark.parametrize("seed", range(5))
def test_the_fastest_is_taken(seed: int) -> None:
    seconds = 0.01 * 1.2 ** np.random.default_rng(seed).permutation(8)
    rows = [row(float(each), threads=8 - place) for place, each in enumerate(seconds)]
    assert choose(rows, None) is rows[int(np.argmin(seconds))]


def test_a_faster_candidate_with_wrong_answers_is_not_taken() -> None:
    slow, fast = row(0.2, threads=2), row(0.1, "forces differ by 3 meV/Å (limit 1)", threads=1)
    assert choose([slow, fast], None) is slow


def test_the_same_candidate_with_right_answers_is_taken() -> None:
    slow, fast = row(0.2, threads=2), row(0.1, threads=1)
    assert choose([slow, fast], None) is fast


def test_without_right_answers_nothing_is_taken() -> None:
    assert choose([row(0.1, "wrong"), row(math.inf, "not enough memory")], 10) is None
    assert choose([], 10) is None


def test_where_the_user_compiles_everything_the_fastest_compiled_is_taken() -> None:
    rows = [row(0.2, threads=2, compile=True), row(0.1, threads=1, compile=True)]
    assert choose(rows, None) is rows[1]
    assert choose([*rows, row(0.3)], None).execution == Execution()


@pytest.mark.parametrize("gain, taken", [(1.04, 1), (1.06, 4)])
def test_of_those_that_are_as_fast_the_fewest_threads_are_taken(gain: float, taken: int) -> None:
    rows = [row(0.100, threads=4), row(0.103, threads=2), row(0.100 * gain, threads=1)]
    chosen = choose(rows[::2], None)
    assert chosen is not None and chosen.execution.threads == taken


def test_a_difference_within_the_noise_does_not_leave_the_default() -> None:
    default, smaller = row(0.102), row(0.100, edges_per_block=4096)
    assert choose([default, smaller], None) is default


def test_a_compilation_must_be_won_back_by_the_steps() -> None:
    """10 s are won back by 0.1 s a step after 100 steps."""
    plain, compiled = row(0.2), row(0.1, first_s=10.0, compile=True)
    assert count_worthy_steps([plain, compiled]) in (100, 101)
    for steps, expected in ((None, plain), (50, plain), (1_000, compiled)):
        assert choose([plain, compiled], steps) is expected
    assert count_worthy_steps([plain, row(0.3, first_s=1.0, compile=True)]) is None
    assert count_worthy_steps([plain, row(0.1, "wrong", 1.0, compile=True)]) is None
