"""All settings of one system together."""

from __future__ import annotations

from dataclasses import dataclass, field

from orbmm.settings.analysis import AnalysisSettings
from orbmm.settings.guard import GuardSettings
from orbmm.settings.model import ModelSettings
from orbmm.settings.plan import Stage, complete_stages
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.run import RunSettings
from orbmm.settings.stage import StageSettings
from orbmm.settings.system import SystemSettings


@dataclass(frozen=True)
class Settings:
    """One SYSTEM.toml: tables, of which only [system] with its name must be there, and any number of [[stage]]."""

    system: SystemSettings
    model: ModelSettings = field(default_factory=ModelSettings)
    run: RunSettings = field(default_factory=RunSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    analysis: AnalysisSettings = field(default_factory=AnalysisSettings)
    preparation: PreparationSettings = field(default_factory=PreparationSettings)
    stage: tuple[StageSettings, ...] = ()

    def __post_init__(self) -> None:
        complete_stages(self.stage, self.run)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What the run does, one after the other, nothing left open but what the model decides."""
        return complete_stages(self.stage, self.run)

    @property
    def production(self) -> Stage:
        """The last stage: what most of a trajectory was made with."""
        return self.stages[-1]
