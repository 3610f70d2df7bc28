"""All settings of one system together, with the tables [guard] and [analysis]."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from orbmm.settings.field import Limits, check_fields, setting
from orbmm.settings.model import ModelSettings
from orbmm.settings.plan import Stage, complete_stages
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.run import RunSettings
from orbmm.settings.stage import StageSettings
from orbmm.settings.system import SystemSettings

BROKEN_BOND_FACTOR = 1.5
"""A bond longer than this many times its length at the start is broken, for the guard and for the analysis."""


@dataclass(frozen=True)
class GuardSettings:
    """The table [guard]: beyond one of these limits a run is stopped."""

    temperature_limit_kelvin: float | None = setting(
        "Highest temperature of all atoms, or of those of one element [K]; absent: 3 times the bath's and 300.",
        None,
        Limits(above=0),
    )
    force_limit_kj_mol_nm: float = setting(
        "Largest force on an atom [kJ/mol/nm].", 50000.0, Limits(above=0, at_most=1e100)
    )
    bond_limit_factor: float = setting(
        "A covalent bond of the start is broken beyond this many times its length there.",
        BROKEN_BOND_FACTOR,
        Limits(above=1),
    )
    allow_reactions: bool = setting("Whether covalent bonds may break, as reactions do.", False)
    drift_limit_nm: float = setting(
        "Farthest that the centre of mass may move from the start, where it is kept at rest [nm].", 0.5, Limits(above=0)
    )
    confidence_limit_factor: float = setting(
        "Mean force error that the model expects of itself may grow to this many times that of the start.",
        1.5,
        Limits(above=1),
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class AnalysisSettings:
    """The table [analysis]."""

    discard_ps: float | None = setting(
        "Start of the run that averages leave out [ps]; absent: until the potential energy has settled.",
        None,
        Limits(at_least=0),
    )
    broken_bond_factor: float = setting(
        "A covalent bond counts as broken beyond this many times its length at the start.",
        BROKEN_BOND_FACTOR,
        Limits(above=1),
    )
    rdf_cutoff_nm: float | None = setting(
        "Largest distance of the radial distribution [nm]; absent: half the box, at most 1 nm.", None, Limits(above=0)
    )
    reference: Path | None = setting("Structure for the RMSD; absent: the start of the run.", None)
    binding_site: str | None = setting(
        "Binding site as a selection of mdtraj, such as 'resSeq 94 96 119'; absent: residues within 5 Å of the metal.",
        None,
    )

    def __post_init__(self) -> None:
        check_fields(self)


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
