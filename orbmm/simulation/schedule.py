"""The steps of each stage. The steps of equilibration and of production are each counted from 0."""

from __future__ import annotations

from dataclasses import dataclass

from orbmm.run_files.checkpoints import EQUILIBRATION, PRODUCTION
from orbmm.settings import Settings, Stage


@dataclass(frozen=True)
class PlannedStage:
    """A stage with its number and its steps in the run.

    number: in the order of the run, from 0; phase: equilibration or production
    first_step, last_step: counted in the phase; equal for minimise
    phase_steps: number of steps of the whole phase
    """

    number: int
    stage: Stage
    phase: str
    first_step: int
    last_step: int
    phase_steps: int

    @property
    def begins_phase(self) -> bool:
        """Return whether the stage takes the first step of its phase."""
        return self.stage.moves and self.first_step == 0


def plan_stages(settings: Settings) -> tuple[PlannedStage, ...]:
    """Return all stages of a run in their order."""
    stages = settings.stages
    phases = [PRODUCTION if stage.kind == "produce" else EQUILIBRATION for stage in stages]
    totals = {
        phase: sum(stage.steps for stage, its in zip(stages, phases, strict=True) if its == phase) for phase in phases
    }
    taken = dict.fromkeys(phases, 0)
    planned = []
    for number, (stage, phase) in enumerate(zip(stages, phases, strict=True)):
        first = taken[phase]
        taken[phase] = first + stage.steps
        planned.append(PlannedStage(number, stage, phase, first, taken[phase], totals[phase]))
    return tuple(planned)
