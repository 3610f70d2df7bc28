"""A confidence.dat made by hand, in the format that a run writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from analysis.synthetic import FRAME_PS
from numpy.typing import NDArray

EDGES = np.linspace(0.0, 0.3, 51)


def write_confidence(folder: Path, error: NDArray[np.float64]) -> Path:
    """Records of expected errors (F, N) [eV/Å], each atom's bin the one that its error lies in."""
    frames, atoms = error.shape
    kind = [("step", "<i8"), ("time_ps", "<f8"), ("bin", "u1", (atoms,)), ("error", "<f2", (atoms,))]
    records = np.zeros(frames, dtype=kind)
    records["step"], records["time_ps"] = 20 * np.arange(frames), FRAME_PS * np.arange(frames)
    records["error"], records["bin"] = error, np.minimum(error / 0.006, 49.0).astype(int)
    records.tofile(folder / "confidence.dat")
    header = {"atoms": atoms, "bin_edges_ev_per_angstrom": EDGES.tolist(), "every_fs": 1000.0 * FRAME_PS}
    (folder / "confidence.json").write_text(json.dumps(header))
    return folder


def make_errors(frames: int, atoms: int, seed: int = 0) -> NDArray[np.float64]:
    """Expected errors (F, N): each atom has its own level, the first atom lies near the end of the scale."""
    rng = np.random.default_rng(seed)
    error = rng.uniform(0.02, 0.08, atoms) + 0.005 * rng.normal(size=(frames, atoms))
    error[:, 0] = 0.297
    return error
