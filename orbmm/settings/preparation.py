"""How a structure file becomes a box where the defaults do not fit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orbmm.errors import SettingsError
from orbmm.settings.field import Limits, check_fields, setting


@dataclass(frozen=True)
class PreparationSettings:
    """The table [preparation]. A residue is written "chain:number", its insertion code after the number ("A:52B")."""

    chains: tuple[str, ...] = setting("Chains to keep; none named keeps all.", ())
    insert_before: Mapping[str, str] = setting(
        'Residues that the file lacks, by the residue they precede: { "A:3" = "ACE SER" }.', {}
    )
    insert_after: Mapping[str, str] = setting(
        'Residues that the file lacks, by the residue they follow: { "A:10" = "NME" }.', {}
    )
    keep_heterogens: tuple[str, ...] = setting("Residues kept beside protein, nucleic acid, water and metals.", ())
    keep_crystal_waters: bool = setting("Whether the waters of the file stay.", True)
    alternate_locations: Mapping[str, str] = setting(
        'The location to take where the highest occupancy is not wanted: { "A:64" = "B" }.', {}
    )
    variants: Mapping[str, str] = setting(
        'Protonation states that overrule pH and the metal rule: { "A:64" = "HIP", "A:25" = "ASH" }; '
        'for a water that binds a metal "OH", hydroxide.',
        {},
    )
    minimization_steps: int = setting("Most steps of the classical minimisation of the box.", 500, Limits(at_least=1))
    equilibration_ps: float = setting(
        "Classical dynamics after the classical minimisation, 0 for none [ps].", 2.0, Limits(at_least=0)
    )
    pressure_bar: float = setting("Its pressure, 0 for constant volume [bar].", 1.0, Limits(at_least=0))
    temperature_kelvin: float = setting("Its temperature [K].", 300.0, Limits(above=0))
    threads: int = setting("Threads of minimisation and dynamics; only 1 repeats bitwise.", 1, Limits(at_least=1))

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("insert_before", "insert_after", "alternate_locations", "variants"):
            for residue in getattr(self, name):
                if residue.count(":") != 1:
                    raise SettingsError(f"{name} names residue '{residue}', but must write chain:number, such as A:64")
