"""Progress tells steps, speed and time left."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from orbmm.settings import Settings
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.progress import Pace, Progress
from orbmm.simulation.run import start_run


def test_the_speed_is_that_of_the_last_stops() -> None:
    times = iter([0.0, 100.0, *(100.0 + 2.0 * index for index in range(1, 30))])
    pace = Pace(timestep_ps=0.0005, step=0, clock=lambda: next(times))
    assert pace.ns_per_day == 0.0
    pace.mark(10)
    assert pace.seconds_per_step == 10.0
    for stop in range(1, 30):
        pace.mark(10 + 20 * stop)
    assert pace.seconds_per_step == pytest.approx(0.1)  # the slow start is forgotten
    assert pace.ns_per_day == pytest.approx(86400.0 / 0.1 * 0.0005 / 1000.0)


def test_a_run_reports_itself_up_to_the_last_step(
    settings: Settings, classical_forces: Callable[..., ForceSource]
) -> None:
    seen: list[Progress] = []
    start_run(settings, seen.append, classical_forces())
    steps = [progress.step for progress in seen]
    assert steps == sorted(set(steps))
    assert steps[0] == 0 and steps[-1] == 60
    last = seen[-1]
    assert (last.stage, last.total_steps, last.time_ps) == ("produce", 60, pytest.approx(0.03))
    assert last.seconds_left == 0.0
    assert last.ns_per_day > 0.0
    assert 0.0 < last.temperature_kelvin < 1200.0
    assert last.potential_energy_kj_mol < 0.0


def test_what_comes_before_the_first_step_is_not_taken_for_slowness(
    settings: Settings, classical_forces: Callable[..., ForceSource]
) -> None:
    seen: list[Progress] = []

    def see(progress: Progress) -> None:
        if progress.step == 0:
            time.sleep(2.0)  # as long as a small network's translation may take
        seen.append(progress)

    start_run(settings, see, classical_forces())
    first = next(progress for progress in seen if progress.step > 0)
    seconds_left_if_it_counted = 2.0 / first.step * (first.total_steps - first.step)
    assert 0.0 < first.seconds_left < 0.5 * seconds_left_if_it_counted
