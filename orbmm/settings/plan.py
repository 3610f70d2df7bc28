"""The complete stages of a run, from [run] and [[stage]]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orbmm.errors import SettingsError
from orbmm.settings.model import ModelSettings
from orbmm.settings.run import RunSettings
from orbmm.settings.stage import RestraintSettings, StageSettings
from orbmm.settings.time_step import OUTER_STEPS, check_outer_step, check_timestep, count_steps


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    kind: minimise, heat, equilibrate or produce; iterations: of minimise; steps: of the others
    from_temperature_kelvin: temperature at the start of heat [K]; None for a constant temperature
    timestep_fs: of one step of the integrator, which is an outer step of multiple time steps; inner_steps: in each
    friction_per_ps: None for verlet, and until it is resolved from the model [1/ps]
    hydrogen_mass_amu: None for the usual mass; pressure_bar: None for constant volume
    """

    kind: str
    temperature_kelvin: float
    timestep_fs: float
    steps: int = 0
    iterations: int = 0
    integrator: str = "langevin-middle"
    inner_steps: int = 1
    from_temperature_kelvin: float | None = None
    friction_per_ps: float | None = None
    hydrogen_mass_amu: float | None = None
    pressure_bar: float | None = None
    restraint: tuple[RestraintSettings, ...] = ()

    @property
    def moves(self) -> bool:
        """Return whether the stage takes time steps: all kinds except minimise."""
        return self.kind != "minimise"

    @property
    def start_temperature_kelvin(self) -> float:
        """Return the temperature at the first step of the stage [K]."""
        return self.temperature_kelvin if self.from_temperature_kelvin is None else self.from_temperature_kelvin


def complete_stages(given: Sequence[StageSettings], run: RunSettings, model: ModelSettings) -> tuple[Stage, ...]:
    """Return the stages of a run; [run] gives the values that they leave open. Without stages: minimise and produce.

    A stage of kind minimise is added at the start if [run] asks for it and there is none.
    Raises SettingsError, which names the stage, for an impossible order or value.
    """
    stages = list(given) or [StageSettings(kind="produce")]
    if run.minimize and all(stage.kind != "minimise" for stage in stages):
        stages.insert(0, StageSettings(kind="minimise"))
    _check_order(stages)
    complete = []
    for number, stage in enumerate(stages, start=1):
        try:
            complete.append(_complete(stage, run, model))
        except SettingsError as error:
            raise SettingsError(f"{error} (stage {number}, {stage.kind})" if given else str(error)) from error
    _check_production(complete)
    return tuple(complete)


def _complete(stage: StageSettings, run: RunSettings, model: ModelSettings) -> Stage:
    inner_fs, inner_steps = stage.timestep_fs or run.timestep_fs, _count_inner_steps(stage, run, model)
    timestep_fs = inner_fs * inner_steps
    complete = Stage(
        kind=stage.kind,
        temperature_kelvin=stage.temperature_kelvin or run.temperature_kelvin,
        timestep_fs=timestep_fs,
        steps=0
        if stage.kind == "minimise"
        else count_steps("length_ps", stage.length_ps or run.length_ps, timestep_fs),
        iterations=stage.iterations or run.minimize_iterations,
        integrator=stage.integrator,
        inner_steps=inner_steps,
        from_temperature_kelvin=stage.from_temperature_kelvin,
        friction_per_ps=None if stage.integrator == "verlet" else stage.friction_per_ps or run.friction_per_ps,
        hydrogen_mass_amu=stage.hydrogen_mass_amu or run.hydrogen_mass_amu,
        pressure_bar=stage.pressure_bar,
        restraint=stage.restraint,
    )
    if complete.moves:
        diagnosed = run.diagnosis is not None and model.fast is None
        check_timestep(inner_fs, complete.hydrogen_mass_amu, model.has_measured_steps, diagnosed)
        if inner_steps > 1:
            check_outer_step(timestep_fs, complete.hydrogen_mass_amu)
        for name in run.intervals if stage.kind == "produce" else ("table_every_fs", "checkpoint_every_ps"):
            run.count_steps(name, timestep_fs)
    return complete


def _count_inner_steps(stage: StageSettings, run: RunSettings, model: ModelSettings) -> int:
    """Return the number of steps between two corrections by the conservative model; 1 without a fast model."""
    if stage.kind == "minimise":
        return 1
    wanted = stage.outer_steps or run.outer_steps
    if model.fast is None:
        if wanted is not None:
            raise SettingsError(f"outer_steps is {wanted}, but [model] has no 'fast'; set it, or remove outer_steps")
        return 1
    if stage.integrator == "nose-hoover":
        raise SettingsError("nose-hoover takes no multiple time steps; use langevin-middle or verlet, or remove fast")
    return wanted or OUTER_STEPS


def _check_order(stages: Sequence[StageSettings]) -> None:
    producing = [stage.kind == "produce" for stage in stages]
    if not producing[-1]:
        raise SettingsError(f"the last [[stage]] is of kind {stages[-1].kind}, but must be of kind produce")
    if sorted(producing) != producing:
        raise SettingsError("a [[stage]] follows production, but only more of kind produce may: move it to the front")


def _check_production(stages: Sequence[Stage]) -> None:
    timesteps = {stage.timestep_fs for stage in stages if stage.kind == "produce"}
    if len(timesteps) > 1:
        raise SettingsError(
            f"stages of kind produce have timestep_fs {', '.join(f'{one:g}' for one in sorted(timesteps))}, "
            "but share one trajectory and must have one"
        )
