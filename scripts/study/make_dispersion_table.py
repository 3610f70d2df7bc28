"""Make the reference table of D3 that orbmm ships, from the package tad-dftd3 (Apache-2.0, by the authors of D3).

    pip install tad-dftd3
    python scripts/study/make_dispersion_table.py orbmm/dispersion/reference.npz

Elements H to Rn. Only what differs is kept: the upper triangle of C6 between all reference systems, in float32.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from tad_dftd3.data import R4R2
from tad_dftd3.reference import Reference
from tad_mctc.data.radii import COV_D3

HEAVIEST = 86  # Rn; the actinides have seven reference systems, and the kernels read five


def main(path: Path) -> None:
    """Write the table."""
    reference = Reference(dtype=torch.float64, device=torch.device("cpu"))
    numbers = np.arange(1, HEAVIEST + 1)
    c6, cn = reference.c6.numpy(), reference.cn.numpy()
    element, system = np.nonzero(cn[: HEAVIEST + 1] >= 0.0)  # (R,) each: all reference systems in order
    matrix = c6[element[:, None], element[None, :], system[:, None], system[None, :]]  # (R, R)
    if not np.array_equal(matrix, matrix.T) or not (matrix > 0.0).all() or system.max() > 4:
        raise SystemExit("the table is not symmetric, or an element has more than five reference systems")
    np.savez_compressed(
        path,
        element=element.astype(np.uint8),
        coordination=cn[element, system].astype(np.float32),
        c6_upper=matrix[np.triu_indices(len(element))].astype(np.float32),
        root_r4_over_r2=R4R2(dtype=torch.float64).numpy()[numbers].astype(np.float32),
        covalent_radius_bohr=COV_D3(dtype=torch.float64).numpy()[numbers].astype(np.float32),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
