"""The tables [[stage]] and [[stage.restraint]]: integrator, length, temperature, pressure and restraints."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from orbmm.errors import SettingsError
from orbmm.settings.field import Limits, check_fields, setting
from orbmm.settings.run import LENGTH
from orbmm.settings.time_step import HEAVIEST_HYDROGEN_AMU

STAGE_KINDS = ("minimise", "heat", "equilibrate", "produce")
INTEGRATORS = ("langevin-middle", "nose-hoover", "verlet")

_POSITIVE = Limits(above=0)
_MOVING = {
    "integrator",
    "length_ps",
    "temperature_kelvin",
    "friction_per_ps",
    "timestep_fs",
    "outer_steps",
    "hydrogen_mass_amu",
    "pressure_bar",
}
_TAKEN = {
    "minimise": {"iterations"},
    "heat": _MOVING | {"from_temperature_kelvin"},
    "equilibrate": _MOVING,
    "produce": _MOVING,
}


RESTRAINT_KINDS = ("position", "distance", "cap")


@dataclass(frozen=True)
class StageSettings:
    """One [[stage]]. [run] gives the values that are absent."""

    kind: str = setting(
        "Kind of the stage: minimise, heat, equilibrate or produce.", limits=Limits(choices=STAGE_KINDS)
    )
    iterations: int | None = setting(
        "Maximum number of force evaluations of minimise; absent: minimize_iterations of [run].",
        None,
        Limits(at_least=1),
    )
    integrator: str = setting(
        "Integrator: langevin-middle, nose-hoover, or verlet for constant energy.",
        "langevin-middle",
        Limits(choices=INTEGRATORS),
    )
    length_ps: float | None = setting(
        "Length; required for heat and equilibrate; absent for produce: that of [run] [ps].", None, LENGTH
    )
    from_temperature_kelvin: float | None = setting("Temperature at the start of heat [K].", None, Limits(at_least=0))
    temperature_kelvin: float | None = setting(
        "Temperature of the bath; for heat: at its end; absent: that of [run] [K].", None, _POSITIVE
    )
    friction_per_ps: float | None = setting(
        "Friction, or collision frequency of nose-hoover; absent: that of [run] [1/ps].", None, _POSITIVE
    )
    timestep_fs: float | None = setting(
        "Length of a time step; absent: that of [run] [fs].", None, Limits(above=0, at_most=10)
    )
    outer_steps: int | None = setting(
        "Time steps between two corrections by the conservative model; absent: that of [run].", None, Limits(at_least=1)
    )
    hydrogen_mass_amu: float | None = setting(
        "Mass of every hydrogen, taken from the atom it is bonded to; absent: that of [run] [g/mol].",
        None,
        Limits(at_least=1, at_most=HEAVIEST_HYDROGEN_AMU),
    )
    pressure_bar: float | None = setting("Pressure; absent: constant volume [bar].", None)
    restraint: tuple[RestraintSettings, ...] = setting("Restraints, as tables [[stage.restraint]].", ())

    def __post_init__(self) -> None:
        check_fields(self)
        for field in dataclasses.fields(self):
            given = getattr(self, field.name) != field.default
            if given and field.name not in _TAKEN[self.kind] | {"kind", "restraint"}:
                raise SettingsError(f"a stage of kind {self.kind} does not take '{field.name}'; remove it")
        if self.kind == "heat" and self.from_temperature_kelvin is None:
            raise SettingsError("a stage of kind heat needs 'from_temperature_kelvin', its first temperature")
        if self.kind in ("heat", "equilibrate") and self.length_ps is None:
            raise SettingsError(f"a stage of kind {self.kind} needs 'length_ps'")
        if self.integrator == "verlet":
            self._refuse_bath()

    def _refuse_bath(self) -> None:
        if self.kind == "heat" or self.pressure_bar is not None or self.friction_per_ps is not None:
            raise SettingsError(
                "verlet keeps the energy constant and has no heat bath: it cannot be used with kind heat, pressure_bar "
                "or friction_per_ps; use langevin-middle"
            )


@dataclass(frozen=True)
class RestraintSettings:
    """One [[stage.restraint]]: a harmonic restraint. That of kind cap acts only beyond its distance."""

    kind: str = setting(
        "Kind of the restraint: position keeps atoms near their start, distance keeps the distance of two atoms, cap "
        "limits it.",
        limits=Limits(choices=RESTRAINT_KINDS),
    )
    atoms: str | None = setting(
        'Atoms of kind position: "solute", "solute heavy", "backbone" or any mdtraj selection.', None
    )
    between: tuple[str, ...] | None = setting(
        'Two atoms of kind distance or cap, as chain:residue:atom: ["A:262:ZN", "A:94:NE2"].', None
    )
    distance_nm: float | None = setting(
        "Distance from which the force acts: from the start position (position; absent: 0), the target distance "
        "(distance; absent: that at the start), or the largest free distance (cap; required) [nm].",
        None,
        Limits(at_least=0),
    )
    stiffness_kj_mol_nm2: float = setting(
        "Force constant k; the energy is k/2 times the squared deviation [kJ/mol/nm^2].", 1000.0, Limits(above=0)
    )

    def __post_init__(self) -> None:
        check_fields(self)
        wanted, unwanted = ("atoms", "between") if self.kind == "position" else ("between", "atoms")
        if getattr(self, wanted) is None or getattr(self, unwanted) is not None:
            raise SettingsError(f"a restraint of kind {self.kind} needs '{wanted}' and takes no '{unwanted}'")
        if self.between is not None and (len(self.between) != 2 or any(one.count(":") != 2 for one in self.between)):
            raise SettingsError(
                f"between is {list(self.between)}, but must name two atoms as chain:residue:atom, such as A:94:NE2"
            )
        if self.kind == "cap" and self.distance_nm is None:
            raise SettingsError("a restraint of kind cap needs 'distance_nm', the distance beyond which it acts")
