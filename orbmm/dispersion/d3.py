"""Compute D3(BJ) dispersion by nvalchemi-toolkit-ops, with the pairs of our own neighbour list.

Energy terms C6 and C8 with the damping of Becke and Johnson (S. Grimme, S. Ehrlich, L. Goerigk, J. Comput. Chem. 32,
1456), no three-body term. From 10 Å the pairs are switched off smoothly, to nothing at 12 Å.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from nvalchemiops.torch.interactions.dispersion import dftd3
from torch import Tensor

from orbmm.dispersion.reference import list_elements, read_reference
from orbmm.errors import ModelError, StructureError, name_nearest
from orbmm.graph.verlet import VerletList
from orbmm.units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

SKIN_ANGSTROM = 1.0


@dataclass(frozen=True)
class Functional:
    """The damping of D3(BJ) that was fitted to one density functional. a1, s8: no unit; a2: [bohr]"""

    a1: float
    a2: float
    s8: float


FUNCTIONALS = {"d3bj-pbe": Functional(a1=0.4289, a2=4.4407, s8=0.7875)}
"""By the value of `[model] dispersion`; from the supporting information of the paper above."""


@dataclass(frozen=True)
class Range:
    """The distance at which pairs end, and the one from which they are switched off; equal: cut off at once [Å]."""

    cutoff_angstrom: float = 12.0
    smooth_from_angstrom: float = 10.0


@dataclass(frozen=True)
class DispersionResult:
    """The dispersion of one structure, in float64, computed in float32.

    energy: () [eV]; forces: (N, 3) [eV/Å]; virial: (3, 3) [eV], minus dE/d(strain), None without a cell
    """

    energy: Tensor
    forces: Tensor
    virial: Tensor | None


class Dispersion:
    """D3(BJ) for the atoms of one system. Pairs are kept between calls; the results do not depend on that.

    searches: the number of neighbour searches so far
    """

    def __init__(
        self,
        functional: str,
        atomic_numbers: tuple[int, ...],
        device: torch.device,
        reach: Range = Range(),
        search: str = "auto",
    ) -> None:
        if functional not in FUNCTIONALS:
            raise ModelError(f"there is no dispersion '{functional}': {name_nearest(functional, FUNCTIONALS)}")
        beyond = sorted(set(atomic_numbers) - set(list_elements()))
        if beyond:
            raise StructureError(
                f"the table of D3 ends at element {list_elements()[-1]} (Rn), got {beyond[0]}: set dispersion = 'none'"
            )
        self._functional, self._reach, self._device = FUNCTIONALS[functional], reach, device
        self._table = read_reference(atomic_numbers, device)
        self._pairs = VerletList(reach.cutoff_angstrom, None, SKIN_ANGSTROM, search)

    @property
    def searches(self) -> int:
        """Return the number of neighbour searches so far."""
        return self._pairs.searches

    def compute(self, positions: Tensor, cell: Tensor | None) -> DispersionResult:
        """Return energy, forces and virial. positions: (N, 3) [Å] float64; cell: (3, 3) rows [Å] or None

        Raises StructureError for invalid coordinates or cells.
        """
        edges = self._pairs.find_edges(positions, cell)
        atoms = len(positions)
        counts = torch.bincount(edges.senders, minlength=atoms)  # (N,)
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).to(torch.int32)  # (N + 1,)
        periodic = {}
        if cell is not None:
            periodic = {
                "cell": (cell.to(torch.float64) / ANGSTROM_PER_BOHR)[None],
                "unit_shifts": edges.shifts.to(torch.int32),
                "compute_virial": True,
            }
        energy, forces, _, *virial = dftd3(
            positions.to(torch.float64) / ANGSTROM_PER_BOHR,
            self._table.types,
            a1=self._functional.a1,
            a2=self._functional.a2,
            s8=self._functional.s8,
            s5_smoothing_on=self._reach.smooth_from_angstrom / ANGSTROM_PER_BOHR,
            s5_smoothing_off=self._reach.cutoff_angstrom / ANGSTROM_PER_BOHR,
            covalent_radii=self._table.radii,
            r4r2=self._table.roots,
            c6_reference=self._table.c6,
            coord_num_ref=self._table.coordination,
            neighbor_list=torch.stack([edges.senders, edges.receivers]).to(torch.int32),
            neighbor_ptr=starts,
            num_systems=1,
            **periodic,
        )
        return DispersionResult(
            energy=energy.to(torch.float64).reshape(()) * EV_PER_HARTREE,
            forces=forces.to(torch.float64) * (EV_PER_HARTREE / ANGSTROM_PER_BOHR),
            virial=virial[0][0].to(torch.float64) * EV_PER_HARTREE if virial else None,
        )
