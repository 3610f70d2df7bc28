"""The judgement of a bath: temperatures that are right pass, those that are wrong or change do not."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("mean", "change", "passes"),
    [(300.0, 0.0, (True, True)), (330.0, 0.0, (False, True)), (300.0, 8.0, (True, False))],
    ids=["right", "too hot", "heating"],
)
def test_only_a_steady_temperature_of_the_bath_passes(
    mean: float, change: float, passes: tuple[bool, bool], load_script: Callable[[str], ModuleType]
) -> None:
    script = load_script("scripts/embedded/measure_bath.py")
    time_ps = np.arange(2.01, 12.0, 0.01)
    random = np.random.default_rng(0)
    noise = np.convolve(random.normal(size=len(time_ps) + 9), np.ones(10), mode="valid")  # correlated over 0.1 ps
    kelvin = mean + change * (time_ps - time_ps.mean()) + 5.0 * noise
    found = script.describe_element(time_ps, kelvin, script.Bath(300.0, 100.0, 1000), 0.0)
    assert (found["mean_passes"], found["change_passes"]) == passes
    assert found["change_kelvin_per_ps"] == pytest.approx(change, abs=2.0)
    assert 1.0 < found["standard_error"] < 3.5, "15.8 K, correlated over ten of 999 rows"


def test_the_bath_alone_scatters_means_and_changes_as_much_as_the_errors_say(
    load_script: Callable[[str], ModuleType],
) -> None:
    script = load_script("scripts/embedded/measure_bath.py")
    bath, step, rows, repeats = script.Bath(300.0, 1.0, 765), 0.01, 2000, 400
    random, deviation = np.random.default_rng(1), 300.0 / 765**0.5
    series = np.empty((rows, repeats))  # the slow half of the variance, which decays at the friction
    series[0] = deviation * random.normal(size=repeats)
    for row in range(1, rows):
        kept = np.exp(-bath.friction_per_ps * step)
        series[row] = kept * series[row - 1] + deviation * (1.0 - kept**2) ** 0.5 * random.normal(size=repeats)
    time_ps = step * np.arange(rows)
    mean, change = bath.find_errors(time_ps[-1])
    assert series.mean(axis=0).std() == pytest.approx(mean, rel=0.15)
    assert np.polyfit(time_ps, series, 1)[0].std() == pytest.approx(change, rel=0.25)


@pytest.mark.parametrize(("means", "passes"), [((268.0, 323.0), True), ((268.0, 270.0), False)])
def test_runs_with_other_seeds_tell_the_error_of_a_few_atoms(
    means: tuple[float, float], passes: bool, load_script: Callable[[str], ModuleType]
) -> None:
    script = load_script("scripts/embedded/measure_bath.py")
    parts = [
        {"mean_kelvin": mean, "standard_error": 8.0, "change_kelvin_per_ps": 1.0, "change_error": 3.0} for mean in means
    ]
    found = script.join_element(parts, 300.0, 0.0)
    assert found["mean_kelvin"] == pytest.approx(sum(means) / 2.0)
    assert found["standard_error"] == pytest.approx(max((means[1] - means[0]) / 2.0, 8.0 / 2.0**0.5))
    assert (found["mean_passes"], found["change_passes"]) == (passes, True)
