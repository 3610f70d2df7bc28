"""Import this module before loading a serialised System of ours: it registers the operator that a TorchForce calls.

The TorchScript module inside a TorchForce is one call of `orbmm::energy_and_forces`; everything else (weights, graph,
compiled code) lives behind that name. Doing so at import is this package's one piece of work at import: TorchScript
looks the name up while a file is read, before anything of ours could be called. (A PythonForce needs no import.)

"CompositeImplicitAutograd" runs the body above autograd, so that a conservative network may differentiate in it; under
`torch.library.custom_op` the body runs below autograd and torch.autograd.grad fails.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from orbmm.forces.evaluator_cache import find_evaluator
from orbmm.forces.kinds import list_force_kinds
from orbmm.forces.versions import find_torch_force_crash, read_versions


def energy_and_forces(description: str, positions_nm: Tensor, box_nm: Tensor | None) -> tuple[Tensor, Tensor]:
    """Energy () [kJ/mol] and forces (N, 3) [kJ/mol/nm] of positions (N, 3) [nm] and box (3, 3) rows [nm] or None."""
    return find_evaluator(description, positions_nm.device).evaluate(positions_nm, box_nm)


if not hasattr(torch.ops.orbmm, "energy_and_forces"):
    _LIBRARY = torch.library.Library("orbmm", "FRAGMENT")
    _LIBRARY.define("energy_and_forces(str description, Tensor positions_nm, Tensor? box_nm) -> (Tensor, Tensor)")
    _LIBRARY.impl("energy_and_forces", energy_and_forces, "CompositeImplicitAutograd")

list_force_kinds()  # loads openmm-torch where it can run, so that OpenMM knows how to read a TorchForce
_CRASH = find_torch_force_crash(read_versions())
if _CRASH is not None:
    logging.getLogger(__name__).warning("%s", _CRASH)
