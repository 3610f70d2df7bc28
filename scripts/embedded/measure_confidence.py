"""The error that an embedded network expects of itself at a kept start, and with every coordinate off by chance.

python scripts/embedded/compute_confidence.py orb-mini-conservative-inf-xtb
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from openmm import unit

from orbmm.forces.confidence import open_confidence
from orbmm.settings import ModelSettings, read_settings
from orbmm.simulation.start.structure import read_start

SYSTEM = Path(__file__).parents[2] / "systems" / "alanine-dipeptide" / "system.toml"
SHIFTS_NM = (0.0, 0.01, 0.1)
SEEDS = 3

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    arguments = parser.parse_args()
    start = read_start(read_settings(SYSTEM).system)
    box = np.array(start.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer))
    confidence = open_confidence(start.topology, ModelSettings(name=arguments.model, device="cpu"))
    for shift in SHIFTS_NM:
        moved = (
            start.positions + np.random.default_rng(s).normal(0.0, shift, start.positions.shape) for s in range(SEEDS)
        )
        means = [confidence.measure(positions, box).errors.mean() for positions in moved]
        print(f"{shift:g} nm: {np.mean(means):.3f} eV/Å")
