"""Our models in openmm-ml: MLPotential(name).createSystem(topology) and createMixedSystem.

openmm-ml loads this module whenever it is imported, so nothing heavy is imported at its top; and it may be imported
before openmm-ml itself, so the classes do not inherit from openmm-ml's.
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
"""What openmm-ml's mechanical embedding reads and then hands on to us as well."""

_OPENMMML_OPTIONS = ("removeCMMotion", "removeConstraints", "forceGroup", "interpolate", "embedding", "returnInfo")
"""What openmm-ml takes out before we are called: known here so that a misspelt one can be named."""


class OrbPotentialFactory:
    """The one factory behind all entry points; the name says which model."""

    def createImpl(self, name: str, **args: Any) -> OrbPotential:
        """The potential of a catalogue name; `weights` may name a local official checkpoint.

        Raises ModelError for an unknown name or keyword.
        """
        for keyword in args:
            if keyword in CREATE_SYSTEM_OPTIONS:
                raise ModelError(f"MLPotential('{name}') was given '{keyword}', which belongs to createSystem")
            if keyword != "weights":
                raise ModelError(f"MLPotential('{name}') does not take '{keyword}', only 'weights'")
        return OrbPotential(name, args.get("weights"))


class OrbPotential:
    """One model, ready to be added to Systems."""

    def __init__(self, name: str, weights: str | os.PathLike[str] | None) -> None:
        from orbmm.checkpoints.catalog import find_record

        self.name = find_record(name).name
        self.weights = None if weights is None else Path(weights)

    def addForces(
        self, topology: app.Topology, system: System, atoms: Iterable[int] | None, forceGroup: int, **args: Any
    ) -> None:
        """Add the network's forces on the given atoms (None: all) to a System.

        Keywords: those of CREATE_SYSTEM_OPTIONS, as in ModelSettings. Raises ModelError for any other, and what
        attach_force raises.
        """
        from orbmm.forces.attach import attach_force

        model = ModelSettings(name=self.name, weights=self.weights, **read_options(args))
        attach_force(system, topology, model, atoms, forceGroup)

    def getSupportedEmbeddings(self) -> list[str]:
        """No embedding of our own: openmm-ml's mechanical embedding serves."""
        return []

    def getMLLongRange(self) -> bool:
        """False: edges end at the cutoff, and no electrostatics of the network's reaches into periodic images."""
        return False


def read_options(args: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of createSystem as fields of ModelSettings. Raises ModelError that names an unknown one."""
    for keyword in args:
        if keyword == "weights":
            raise ModelError("createSystem was given 'weights', which belongs to MLPotential(name, weights=...)")
        if keyword not in CREATE_SYSTEM_OPTIONS + _EMBEDDING_OPTIONS:
            nearest = name_nearest(keyword, CREATE_SYSTEM_OPTIONS + _OPENMMML_OPTIONS)
            raise ModelError(f"createSystem does not take '{keyword}': {nearest}")
    options = {name: args[name] for name in CREATE_SYSTEM_OPTIONS if name in args}
    if "device" in options:  # openmm-ml's own models take a torch.device, or None
        options["device"] = "auto" if options["device"] is None else str(options["device"])
    for name in ("charge", "multiplicity"):
        if isinstance(options.get(name), numbers.Integral) and not isinstance(options[name], bool):
            options[name] = int(options[name])  # NumPy's whole numbers too
    return options
