"""The table [preparation]: how a structure file becomes a box, if the defaults do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orbmm.errors import SettingsError
from orbmm.settings.field import Limits, check_fields, setting


@dataclass(frozen=True)
class PreparationSettings:
    """The table [preparation]. A residue is "chain:number", with the insertion code after the number ("A:52B")."""

    chains: tuple[str, ...] = setting("Chains to keep; empty: all.", ())
    insert_before: Mapping[str, str] = setting(
        'Missing residues to add before a residue of the file: { "A:3" = "ACE SER" }.', {}
    )
    insert_after: Mapping[str, str] = setting(
        'Missing residues to add after a residue of the file: { "A:10" = "NME" }.', {}
    )
    keep_heterogens: tuple[str, ...] = setting(
        "Residues to keep in addition to protein, nucleic acid, water and metals.", ()
    )
    keep_crystal_waters: bool = setting("Keep the waters of the file.", True)
    alternate_locations: Mapping[str, str] = setting(
        'Alternate location to use instead of that of highest occupancy: { "A:64" = "B" }.', {}
    )
    variants: Mapping[str, str] = setting(
        'Protonation states to use instead of those by pH and metals: { "A:64" = "HIP", "A:25" = "ASH" }; '
        '"OH" (hydroxide) for a water bound to a metal.',
        {},
    )
    minimization_steps: int = setting("Maximum number of steps of the classical minimisation.", 500, Limits(at_least=1))
    equilibration_ps: float = setting(
        "Length of the classical dynamics after the classical minimisation; 0: none [ps].", 2.0, Limits(at_least=0)
    )
    pressure_bar: float = setting(
        "Pressure of the classical dynamics; 0: constant volume [bar].", 1.0, Limits(at_least=0)
    )
    temperature_kelvin: float = setting("Temperature of the classical dynamics [K].", 300.0, Limits(above=0))
    threads: int = setting(
        "Threads of minimisation and dynamics; only 1 gives the same result bit for bit.", 1, Limits(at_least=1)
    )

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("insert_before", "insert_after", "alternate_locations", "variants"):
            for residue in getattr(self, name):
                if residue.count(":") != 1:
                    raise SettingsError(f"{name} names residue '{residue}', but must write chain:number, such as A:64")
