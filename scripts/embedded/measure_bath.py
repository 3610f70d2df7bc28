"""Do all elements have the temperature of the bath? Multiple time steps at a friction of 1/ps, element by element.

    python scripts/embedded/measure_dynamics.py orb-mini-conservative-inf-xtb --fast orb-mini-direct-inf-xtb \\
        --outer-steps 2 --friction 1 --length-ps 12 --compile --run runs/bath
    python scripts/embedded/measure_bath.py runs/bath runs/other-seed --to docs/embedded/multiple-steps-bath.json

Reads energies.csv of run folders, finished or not, and leaves out the first 2 ps of each. Runs with other seeds tell
the error of a few atoms, whose vibrations exchange energy too slowly for the blocks of one run. It passes if H and O,
of which there are many, are within 2 % and two standard errors of the bath, all others within two standard errors, and
no temperature changes along the run by more than two standard errors. 10 ps are needed for a judgement.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np

from orbmm.analysis.statistics import average_blocks
from orbmm.run_files.energies import read_energy_table
from orbmm.run_files.layout import RunFolder

DISCARD_PS, NEEDED_PS = 2.0, 10.0
MANY = ("H", "O")
SHARE = 0.02


@dataclass(frozen=True)
class Bath:
    """A Langevin bath: its temperature [K], friction [1/ps], and the degrees of freedom of the system."""

    kelvin: float
    friction_per_ps: float
    degrees_of_freedom: int

    def find_errors(self, length_ps: float) -> tuple[float, float]:
        """Return standard errors of mean [K] and change [K/ps] from the slow exchange of energy with the bath.

        Kinetic and potential energy share a total that relaxes at the friction, so half of the variance of the
        temperature, T^2 / n, is correlated over 1 / friction. Blocks of a run of a few ps cannot see that.
        """
        variance, time_ps = self.kelvin**2 / self.degrees_of_freedom, 1.0 / self.friction_per_ps
        mean = 2.0 * variance * time_ps / length_ps
        return mean**0.5, (12.0 * mean / length_ps**2) ** 0.5


def describe_element(time_ps: np.ndarray, kelvin: np.ndarray, bath: Bath, allowed_kelvin: float) -> dict[str, Any]:
    """Return mean and change of one temperature (R,) [K], with standard errors, and the judgement.

    Errors are those of blocks, and at least those of the bath.
    allowed_kelvin: difference from the bath that is allowed beside two standard errors
    """
    line, covariance = np.polyfit(time_ps, kelvin, 1, cov="unscaled")
    rest = kelvin - np.polyval(line, time_ps)  # a change along the run is no reason for a larger error
    block, mean = average_blocks(rest), float(kelvin.mean())
    least, least_change = bath.find_errors(float(time_ps[-1] - time_ps[0]))
    error = max(block.error, least)
    change_error = max(float(rest.std(ddof=2) * np.sqrt(covariance[0, 0] * block.inefficiency)), least_change)
    return {
        "mean_kelvin": mean,
        "standard_error": error,
        "change_kelvin_per_ps": float(line[0]),
        "change_error": change_error,
        "mean_passes": bool(abs(mean - bath.kelvin) <= allowed_kelvin + 2.0 * error),
        "change_passes": bool(abs(line[0]) <= 2.0 * change_error),
    }


def describe_bath(path: Path) -> dict[str, Any]:
    """Return the temperatures of a run after DISCARD_PS, and whether they are those of the bath."""
    folder = RunFolder(path)
    record = json.loads(folder.record.read_text())
    run = record["settings"]["run"]
    table = read_energy_table(folder.table, growing=True)
    kept = table.time_ps > DISCARD_PS
    time_ps, bath_kelvin = table.time_ps[kept], run["temperature_kelvin"]
    bath = Bath(bath_kelvin, run["friction_per_ps"], record["degrees_of_freedom"])
    elements = Counter(atom.element.symbol for atom in mdtraj.load_topology(str(folder.topology)).atoms)
    found = {
        symbol: describe_element(time_ps, kelvin[kept], bath, SHARE * bath_kelvin if symbol in MANY else 0.0)
        for symbol, kelvin in table.of_elements.items()
    }
    measured_ps = float(time_ps[-1] - DISCARD_PS)
    return {
        "model": record["model"],
        "weights_sha256": record["weights_sha256"],
        "fast": record["settings"]["model"].get("fast"),
        "fast_weights_sha256": record["fast_weights_sha256"],
        "timestep_fs": run["timestep_fs"],
        "outer_steps": run.get("outer_steps"),
        "friction_per_ps": run["friction_per_ps"],
        "bath_kelvin": bath_kelvin,
        "discard_ps": DISCARD_PS,
        "measured_ps": round(measured_ps, 3),
        "long_enough": measured_ps >= NEEDED_PS - 1e-6,
        "passes_so_far": all(each["mean_passes"] and each["change_passes"] for each in found.values()),
        "all_atoms": describe_element(time_ps, table.temperature[kept], bath, SHARE * bath_kelvin),
        "elements": {symbol: {"atoms": elements[symbol], **each} for symbol, each in found.items()},
    }


def join_runs(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return independent runs of one system as one; its temperatures are the means of the runs."""
    first = runs[0]
    if len(runs) == 1:
        return first
    bath_kelvin = first["bath_kelvin"]
    found = {
        symbol: {
            "atoms": each["atoms"],
            "means_of_runs_kelvin": [run["elements"][symbol]["mean_kelvin"] for run in runs],
            **join_element(
                [run["elements"][symbol] for run in runs], bath_kelvin, SHARE * bath_kelvin if symbol in MANY else 0.0
            ),
        }
        for symbol, each in first["elements"].items()
    }
    shortest = min(run["measured_ps"] for run in runs)
    return {
        **first,
        "runs": len(runs),
        "measured_ps": shortest,
        "long_enough": shortest >= NEEDED_PS - 1e-6,
        "passes_so_far": all(each["mean_passes"] and each["change_passes"] for each in found.values()),
        "all_atoms": join_element([run["all_atoms"] for run in runs], bath_kelvin, SHARE * bath_kelvin),
        "elements": found,
    }


def join_element(parts: Sequence[dict[str, Any]], bath_kelvin: float, allowed_kelvin: float) -> dict[str, Any]:
    """Return the means over runs. An error is that between the runs, and at least what the runs say themselves."""
    mean, error = _join([each["mean_kelvin"] for each in parts], [each["standard_error"] for each in parts])
    change, change_error = _join(
        [each["change_kelvin_per_ps"] for each in parts], [each["change_error"] for each in parts]
    )
    return {
        "mean_kelvin": mean,
        "standard_error": error,
        "change_kelvin_per_ps": change,
        "change_error": change_error,
        "mean_passes": abs(mean - bath_kelvin) <= allowed_kelvin + 2.0 * error,
        "change_passes": abs(change) <= 2.0 * change_error,
    }


def _join(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    count = len(values)
    between, within = np.std(values, ddof=1) / count**0.5, np.linalg.norm(errors) / count
    return float(np.mean(values)), float(max(between, within))


def format_rows(summary: dict[str, Any]) -> list[str]:
    """Return the rows of a Markdown table, one for each element."""
    words = {True: "passes", False: "fails"}
    return [
        f"| {symbol} | {each['atoms']} | {each['mean_kelvin']:.0f} ± {each['standard_error']:.0f} | "
        f"{each['change_kelvin_per_ps']:+.0f} ± {each['change_error']:.0f} | "
        f"{words[each['mean_passes']]}, {words[each['change_passes']]} |"
        for symbol, each in summary["elements"].items()
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="run", help="with the same settings but for the seed")
    parser.add_argument("--to", type=Path, default=Path("docs/embedded/multiple-steps-bath.json"))
    arguments = parser.parse_args()
    summary = join_runs([describe_bath(run) for run in arguments.runs])
    arguments.to.write_text(json.dumps(summary, indent=1) + "\n")
    print("\n".join(format_rows(summary)))
    print(f"{summary['measured_ps']:g} ps of {NEEDED_PS:g}")
