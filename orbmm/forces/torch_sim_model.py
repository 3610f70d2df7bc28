"""A network as a model of TorchSim, for relaxations and screening of many structures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from orbmm.errors import MissingDependency, StructureError
from orbmm.model.potential import Potential

try:
    from torch_sim.models.interface import ModelInterface
except ImportError as error:
    raise MissingDependency("a TorchSim model needs Python 3.12 and TorchSim: pip install 'orbmm[torchsim]'") from error

if TYPE_CHECKING:
    from torch_sim.state import SimState

_VOIGT = torch.tensor([[0, 5, 4], [5, 1, 3], [4, 3, 2]])  # where each component is in xx yy zz yz xz xy


class OrbTorchSimModel(ModelInterface):
    """A network that TorchSim calls with a batch of systems; they are evaluated one after the other.

    potential: of orbmm.load_model. An omol model takes charge and spin of the state; a spin of 0 is one not known.
    """

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self._potential = potential
        self._device, self._dtype = potential.device, potential.dtype
        self._compute_forces, self._compute_stress = True, "stress" in potential.network.available_outputs

    def forward(self, state: SimState, **kwargs: Any) -> dict[str, Tensor]:
        """Return energy (B,) [eV], forces (N, 3) [eV/Å] and, for periodic systems, stress (B, 3, 3) [eV/Å^3].

        Raises StructureError for systems that are periodic along one or two axes, and the errors of evaluate.
        """
        predictions = [self._predict(state, index) for index in range(state.n_systems)]
        return {name: torch.cat([each[name] for each in predictions]) for name in predictions[0]}

    def _predict(self, state: SimState, index: int) -> dict[str, Tensor]:
        chosen, pbc = state.system_idx == index, torch.as_tensor(state.pbc)
        if bool(pbc.any()) and not bool(pbc.all()):
            raise StructureError(
                f"the systems have pbc = {pbc.tolist()}, and a network sees a box along all axes or none: "
                "set pbc = True with empty space along the others"
            )
        takes_charge = self._potential.record.takes_charge
        charge = float(state.charge[index]) if takes_charge else None
        multiplicity = int(state.spin[index]) if takes_charge else None
        composition = self._potential.compose(state.atomic_numbers[chosen], charge, multiplicity)
        cell = state.row_vector_cell[index] if bool(pbc.all()) else None
        outputs = {"energy", "forces"} | ({"stress"} if self.compute_stress and cell is not None else set())
        result = self._potential.evaluate(composition, state.positions[chosen].detach(), cell, outputs)
        found = {name: tensor.to(self.dtype) for name, tensor in vars(result).items() if name in outputs}
        if "stress" in found:
            found["stress"] = found["stress"][:, _VOIGT.to(self.device)]  # (1, 3, 3)
        return {name: tensor.detach() for name, tensor in found.items()}
