"""The tables [[stage]] and [[stage.restraint]]: how atoms are moved, for how long, and what holds them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from orbmm.errors import SettingsError
from orbmm.settings.field import Limits, check_fields, setting
from orbmm.settings.run import LENGTH

STAGE_KINDS = ("minimise", "heat", "equilibrate", "produce")
INTEGRATORS = ("langevin-middle", "nose-hoover", "verlet")
HEAVIEST_HYDROGEN_AMU = 4.0  # beyond, the carbon of a methyl group would be left with next to nothing

_POSITIVE = Limits(above=0)
_MOVING = {
    "integrator",
    "length_ps",
    "temperature_kelvin",
    "friction_per_ps",
    "timestep_fs",
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
    """One [[stage]]; what it leaves open is as [run] says."""

    kind: str = setting("minimise, heat, equilibrate or produce.", limits=Limits(choices=STAGE_KINDS))
    iterations: int | None = setting(
        "Most force evaluations of minimise; absent: minimize_iterations of [run].", None, Limits(at_least=1)
    )
    integrator: str = setting(
        "langevin-middle, nose-hoover, or verlet for constant energy.", "langevin-middle", Limits(choices=INTEGRATORS)
    )
    length_ps: float | None = setting("Length; absent for produce: that of [run] [ps].", None, LENGTH)
    from_temperature_kelvin: float | None = setting("Where heat begins [K].", None, Limits(at_least=0))
    temperature_kelvin: float | None = setting("Temperature of the bath, at the end of heat [K].", None, _POSITIVE)
    friction_per_ps: float | None = setting("Friction, or coupling of nose-hoover [1/ps].", None, _POSITIVE)
    timestep_fs: float | None = setting("Length of a time step [fs].", None, Limits(above=0, at_most=10))
    hydrogen_mass_amu: float | None = setting(
        "Mass of every hydrogen, taken from the atom it is bonded to [g/mol].",
        None,
        Limits(at_least=1, at_most=HEAVIEST_HYDROGEN_AMU),
    )
    pressure_bar: float | None = setting("Pressure; absent: constant volume [bar].", None)
    restraint: tuple[RestraintSettings, ...] = setting("What holds atoms, as tables [[stage.restraint]].", ())

    def __post_init__(self) -> None:
        check_fields(self)
        for field in dataclasses.fields(self):
            given = getattr(self, field.name) != field.default
            if given and field.name not in _TAKEN[self.kind] | {"kind", "restraint"}:
                raise SettingsError(f"'{field.name}' means nothing to a stage of kind {self.kind}; take it out")
        if self.kind == "heat" and self.from_temperature_kelvin is None:
            raise SettingsError("a stage of kind heat needs 'from_temperature_kelvin', where it begins")
        if self.kind in ("heat", "equilibrate") and self.length_ps is None:
            raise SettingsError(f"a stage of kind {self.kind} needs 'length_ps'")
        if self.integrator == "verlet":
            self._refuse_bath()

    def _refuse_bath(self) -> None:
        if self.kind == "heat" or self.pressure_bar is not None or self.friction_per_ps is not None:
            raise SettingsError(
                "verlet keeps the energy constant and has no bath: it takes no kind heat, no pressure_bar and no "
                "friction_per_ps; use langevin-middle"
            )


@dataclass(frozen=True)
class RestraintSettings:
    """One [[stage.restraint]]: a spring, or for a cap a spring that only pulls back what is too far away."""

    kind: str = setting(
        "position holds atoms where the run starts, distance holds two atoms apart, cap keeps two atoms together.",
        limits=Limits(choices=RESTRAINT_KINDS),
    )
    atoms: str | None = setting(
        'The atoms of kind position: "solute", "solute heavy", "backbone" or any selection of mdtraj.', None
    )
    between: tuple[str, ...] | None = setting(
        'The two atoms of kind distance or cap, as chain:residue:atom: ["A:262:ZN", "A:94:NE2"].', None
    )
    distance_nm: float | None = setting(
        "Where the force begins: how far atoms may move freely (position; absent: not at all), the distance that is held "
        "(absent: that of the start), or the cap [nm].",
        None,
        Limits(at_least=0),
    )
    stiffness_kj_mol_nm2: float = setting("Constant k of k/2 times the square [kJ/mol/nm^2].", 1000.0, Limits(above=0))

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
            raise SettingsError("a restraint of kind cap needs 'distance_nm', beyond which it pulls")
