"""The models of orbmm in openmm-ml: MLPotential(name).createSystem(topology) and createMixedSystem.

openmm-ml imports this module whenever it is imported itself, so this module imports nothing heavy. It may also be
imported before openmm-ml, so its classes do not inherit from those of openmm-ml.
"""

from __future__ import annotations

import dataclasses
import numbers
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbmm.errors import ModelError, name_nearest
from orbmm.settings.model import ModelSettings

if TYPE_CHECKING:
    from openmm import System, app

CREATE_SYSTEM_OPTIONS = tuple(
    field.name for field in dataclasses.fields(ModelSettings) if field.name not in ("name", "weights")
)
"""The keywords of createSystem and createMixedSystem; name and weights are given to MLPotential itself."""

_EMBEDDING_OPTIONS = ("linkAtomDistances",)
"""Keywords of the mechanical embedding of openmm-ml, which it passes on to addForces."""

_OPENMMML_OPTIONS = ("removeCMMotion", "removeConstraints", "forceGroup", "interpolate", "embedding", "returnInfo")
"""Keywords that openmm-ml removes before it calls addForces; listed to suggest them for a misspelt one."""


class OrbPotentialFactory:
    """The factory behind all entry points; the name selects the model."""

    def createImpl(self, name: str, **args: Any) -> OrbPotential:
        """Return the potential of a catalogue name; `weights` may be the path of a local weights file.

        Raises ModelError for an unknown name or keyword.
        """
        for keyword in args:
            if keyword in CREATE_SYSTEM_OPTIONS:
                raise ModelError(f"MLPotential('{name}') was given '{keyword}', which belongs to createSystem")
            if keyword != "weights":
                raise ModelError(f"MLPotential('{name}') does not take '{keyword}', only 'weights'")
        return OrbPotential(name, args.get("weights"))


class OrbPotential:
    """One model that can be added to Systems."""

    def __init__(self, name: str, weights: str | os.PathLike[str] | None) -> None:
        from orbmm.checkpoints.record_in_file import resolve_record

        self.weights = None if weights is None else Path(weights)
        self.name = resolve_record(name, self.weights).load_name

    def addForces(
        self, topology: app.Topology, system: System, atoms: Iterable[int] | None, forceGroup: int, **args: Any
    ) -> None:
        """Add the network's forces on the given atoms (None: all) to a System.

        Keywords: CREATE_SYSTEM_OPTIONS, as in ModelSettings. Raises ModelError for any other keyword, and the errors of
        attach_force.
        """
        from orbmm.forces.attach import attach_force

        model = ModelSettings(name=self.name, weights=self.weights, **read_options(args))
        attach_force(system, topology, model, atoms, forceGroup)

    def getSupportedEmbeddings(self) -> list[str]:
        """Return no embedding; openmm-ml then uses its mechanical embedding."""
        return []

    def getMLLongRange(self) -> bool:
        """Return False: edges end at the cutoff, and the network has no long-range electrostatics."""
        return False


def read_options(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of createSystem as fields of ModelSettings. Raises ModelError, which names an unknown one."""
    for keyword in args:
        if keyword == "weights":
            raise ModelError("createSystem was given 'weights', which belongs to MLPotential(name, weights=...)")
        if keyword not in CREATE_SYSTEM_OPTIONS + _EMBEDDING_OPTIONS:
            nearest = name_nearest(keyword, CREATE_SYSTEM_OPTIONS + _OPENMMML_OPTIONS)
            raise ModelError(f"createSystem does not take '{keyword}': {nearest}")
    options = {name: args[name] for name in CREATE_SYSTEM_OPTIONS if name in args}
    if "device" in options:  # the models of openmm-ml take a torch.device, or None
        options["device"] = "auto" if options["device"] is None else str(options["device"])
    for name in ("charge", "multiplicity"):
        if isinstance(options.get(name), numbers.Integral) and not isinstance(options[name], bool):
            options[name] = int(options[name])  # accept integers of NumPy
    return options
