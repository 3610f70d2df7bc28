"""Count what a large system over several GPUs would cost: halo atoms, redundant edges, memory, exchanged features.

OMP_NUM_THREADS=1 python scripts/benchmarks/spatial_decomposition.py \\
    --output scripts/benchmarks/results/spatial-decomposition.json

Nothing is run on a GPU. Atoms and edges are counted in boxes of water, memory is that of `orbmm estimate`, times are
left out. A box is made of equal tiles, so that the edges of one tile are those of all. One domain is counted, at a
corner of the box: in water all are alike but for a few atoms.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_file import describe_run, write_results

from orbmm.benchmark.cases import build_water
from orbmm.benchmark.estimate import Way, count_block_bytes, count_bytes_per_edge
from orbmm.checkpoints.catalog import find_record
from orbmm.graph.edges import find_edges
from orbmm.model.inference.memory import MOST_EDGES_PER_BLOCK

BOXES = {25_000: (2, 1042), 100_000: (3, 1235), 1_000_000: (7, 972)}  # atoms: tiles along an axis, molecules of a tile
DOMAINS = {
    "slabs": {2: (2, 1, 1), 4: (4, 1, 1), 8: (8, 1, 1)},
    "boxes": {2: (2, 1, 1), 4: (2, 2, 1), 8: (2, 2, 2)},
}
WAYS = (
    Way("orb-v3-direct-inf-omat", "float32-high", "auto"),
    Way("orb-v3-conservative-inf-omat", "float32-high", "lean"),
)
LAYERS, CUTOFF_ANGSTROM, WIDTH = 5, 6.0, 256  # of the published networks
FLOAT32_BYTES = 4


def build_tile(molecules: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return positions (A, 3) wrapped, senders (E,) and vectors (E, 3) of the edges, and the edge of a tile [Å]."""
    water = build_water(molecules)
    positions, cell = torch.from_numpy(water.positions), torch.from_numpy(water.cell)
    record = find_record(WAYS[0].model)
    edges = find_edges(positions, cell, CUTOFF_ANGSTROM, record.max_neighbors)
    width = float(water.cell[0, 0])
    return water.positions % width, edges.senders.numpy(), edges.vectors(positions, cell).numpy(), width


def find_levels(positions: np.ndarray, domain: np.ndarray, box: float) -> np.ndarray:
    """Return by how many cutoffs, rounded up, atoms (A, 3) lie outside the domain (3,) at the origin; 0 inside."""
    inside = positions % box
    beyond = np.minimum(inside - domain, box - inside)  # the nearer of the two faces, through the box
    outside = np.where(inside < domain, 0.0, beyond).max(axis=1)
    return np.ceil(outside / CUTOFF_ANGSTROM).astype(int)


def count_domain(tile: tuple, tiles: int, parts: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the atoms of a domain by level (6 and more together), and the edges by the lower level of their ends."""
    positions, senders, vectors, width = tile
    box = tiles * width
    domain = np.array([box / part if part > 1 else box for part in parts])
    atoms, edges = np.zeros(LAYERS + 2, dtype=int), np.zeros(LAYERS + 2, dtype=int)
    for step in itertools.product(range(tiles), repeat=3):
        moved = positions + width * np.array(step)
        levels = np.minimum(find_levels(moved, domain, box), LAYERS + 1)
        others = find_levels(moved[senders] + vectors, domain, box)
        atoms += np.bincount(levels, minlength=LAYERS + 2)
        edges += np.bincount(np.minimum(levels[senders], others), minlength=LAYERS + 2)
    return atoms, edges


def describe_domain(atoms: np.ndarray, edges: np.ndarray, gpus: int) -> dict[str, Any]:
    """Return what one of the GPUs holds and computes, beside its share.

    A layer k needs the edges at atoms within (5 - k) cutoffs of the domain: those of level m are computed 5 - m times.
    """
    share, total = edges.sum() / gpus, int(edges[:LAYERS].sum())
    work = int(sum((LAYERS - level) * edges[level] for level in range(LAYERS)))
    feature_bytes = FLOAT32_BYTES * WIDTH * int(atoms[1])
    return {
        "gpus": gpus,
        "own_atoms": int(atoms[0]),
        "halo_atoms": int(atoms[1 : LAYERS + 1].sum()),
        "share_of_edges": round(share),
        "halo_30": {
            "edges": total,
            "edges_over_share": round(total / share, 2),
            "work_over_share": round(work / (LAYERS * share), 2),
            "best_speedup": round(gpus * LAYERS * share / work, 2),
        },
        "halo_6": {
            "halo_atoms": int(atoms[1]),
            "edges": int(edges[0]),
            "work_over_share": round(float(edges[0] / share), 2),
            "best_speedup": round(float(gpus * share / edges[0]), 2),
            "received_mb_each_layer": round(feature_bytes / 1e6, 1),
            "received_mb_direct": round(LAYERS * feature_bytes / 1e6, 1),
            "received_mb_conservative": round(2 * LAYERS * feature_bytes / 1e6, 1),
        },
        "memory_gb": {
            way.model: {"halo_30": estimate_memory_gb(way, total), "halo_6": estimate_memory_gb(way, int(edges[0]))}
            for way in WAYS
        },
    }


def estimate_memory_gb(way: Way, edges: int) -> float:
    """Return the memory that `orbmm estimate` counts for so many edges on a GPU, without what torch itself takes."""
    block = count_block_bytes(way, min(edges, MOST_EDGES_PER_BLOCK))
    return round((count_bytes_per_edge(way) * edges + block) / 1e9, 1)


def main() -> None:
    """Count and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    about, rows = describe_run(threads=1), []
    for nominal, (tiles, molecules) in BOXES.items():
        tile = build_tile(molecules)
        edges = len(tile[1]) * tiles**3
        row: dict[str, Any] = {"atoms": 3 * molecules * tiles**3, "nominal": nominal, "edges": edges}
        row["box_angstrom"] = round(tile[3] * tiles, 1)
        row["memory_gb_one_gpu"] = {way.model: estimate_memory_gb(way, edges) for way in WAYS}
        for shape, cuts in DOMAINS.items():
            row[shape] = [describe_domain(*count_domain(tile, tiles, parts), gpus) for gpus, parts in cuts.items()]
        rows.append(row)
        print(row, flush=True)
        write_results(arguments.output, about, {"gpu": "not measured", "rows": rows})


if __name__ == "__main__":
    main()
