"""One stage of a run: how atoms are moved, for how long, and what acts on them besides the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from orbmm.errors import SettingsError
from orbmm.settings.field import Limits, check_fields, setting
from orbmm.settings.restraint import RestraintSettings
from orbmm.settings.run import RunSettings
from orbmm.settings.time_step import check_timestep, count_steps

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
_FROM_RUN = ("temperature_kelvin", "friction_per_ps", "timestep_fs", "hydrogen_mass_amu")


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
    length_ps: float | None = setting("Length; absent for produce: that of [run] [ps].", None, _POSITIVE)
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

    @property
    def moves(self) -> bool:
        """Whether time goes on in it: all kinds but minimise."""
        return self.kind != "minimise"

    @property
    def steps(self) -> int:
        """Time steps of a stage that is complete; 0 for minimise."""
        if self.length_ps is None or self.timestep_fs is None:
            return 0
        return count_steps("length_ps", self.length_ps, self.timestep_fs)

    def _refuse_bath(self) -> None:
        if self.kind == "heat" or self.pressure_bar is not None or self.friction_per_ps is not None:
            raise SettingsError(
                "verlet keeps the energy constant and has no bath: it takes no kind heat, no pressure_bar and no "
                "friction_per_ps; use langevin-middle"
            )


def complete_stages(given: Sequence[StageSettings], run: RunSettings) -> tuple[StageSettings, ...]:
    """The stages of a run with what [run] says about what they leave open; without any, minimise and produce.

    The structure is relaxed first where [run] wants that and no stage does it.
    Raises SettingsError, which names the stage, for an order or a number that makes no run.
    """
    stages = list(given) or [StageSettings(kind="produce")]
    if run.minimize and all(stage.kind != "minimise" for stage in stages):
        stages.insert(0, StageSettings(kind="minimise"))
    _check_order(stages)
    complete = []
    for number, stage in enumerate(stages, start=1):
        try:
            complete.append(_complete(stage, run))
        except SettingsError as error:
            raise SettingsError(f"{error} (stage {number}, {stage.kind})" if given else str(error)) from error
    _check_production(complete)
    return tuple(complete)


def _complete(stage: StageSettings, run: RunSettings) -> StageSettings:
    if not stage.moves:
        return dataclasses.replace(stage, iterations=stage.iterations or run.minimize_iterations)
    filled = {name: getattr(run, name) for name in _FROM_RUN if getattr(stage, name) is None}
    if stage.integrator == "verlet":
        filled.pop("friction_per_ps", None)
    if stage.length_ps is None:
        filled["length_ps"] = run.length_ps
    complete = dataclasses.replace(stage, **filled)
    timestep_fs = filled.get("timestep_fs", stage.timestep_fs)
    check_timestep(timestep_fs, complete.hydrogen_mass_amu)
    count_steps("length_ps", complete.length_ps or run.length_ps, timestep_fs)
    for name in run.intervals if stage.kind == "produce" else ("table_every_fs", "checkpoint_every_ps"):
        run.count_steps(name, timestep_fs)
    return complete


def _check_order(stages: Sequence[StageSettings]) -> None:
    producing = [stage.kind == "produce" for stage in stages]
    if not producing[-1]:
        raise SettingsError(f"the last [[stage]] is of kind {stages[-1].kind}, but must be of kind produce")
    if sorted(producing) != producing:
        raise SettingsError("a [[stage]] follows production, but only more of kind produce may: move it to the front")


def _check_production(stages: Sequence[StageSettings]) -> None:
    timesteps = {stage.timestep_fs for stage in stages if stage.kind == "produce"}
    if len(timesteps) > 1:
        raise SettingsError(
            f"stages of kind produce have timestep_fs {', '.join(f'{one:g}' for one in sorted(timesteps))}, "
            "but share one trajectory and must have one"
        )
