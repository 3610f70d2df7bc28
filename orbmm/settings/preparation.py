"""The tables [preparation] and [[preparation.ligand]]: how a structure file becomes a box, and what is kept in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orbmm.errors import SettingsError
from orbmm.plain_text import describe_value
from orbmm.settings.field import Limits, check_fields, setting

_MOLECULE_SUFFIXES = (".sdf", ".mol", ".mol2")


@dataclass(frozen=True)
class LigandSettings:
    """One [[preparation.ligand]]: a small molecule that is kept, in the state in which its SMILES or file draws it."""

    residue: str = setting(
        'Residue name, such as AZM: all copies in the structure; with chain and number, "AZM A:301", one of them. '
        "A molecule that the structure lacks gets this name."
    )
    smiles: str | None = setting(
        "SMILES of the molecule with the charges and hydrogens of its state: 'NC(=O)c1cccnc1'.", None
    )
    file: Path | None = setting(
        "File .sdf, .mol or .mol2 of the molecule instead; its coordinates are used if the structure lacks it.", None
    )
    charge: int | None = setting("Total charge that the molecule must have; absent: that of its atoms [e].", None)
    place_at: str | None = setting(
        'Metal at which a molecule that the structure lacks is placed, such as "A:262": its negative N, O or S, or the '
        "atom marked as in [NH-:1], binds the metal.",
        None,
    )

    def __post_init__(self) -> None:
        check_fields(self)
        name, _, place = self.residue.partition(" ")
        if not name or not name.isalnum() or (place and place.count(":") != 1):
            raise SettingsError(
                f"residue is {describe_value(self.residue)}, but must be a name such as AZM, or one residue such as "
                "'AZM A:301'"
            )
        if (self.smiles is None) == (self.file is None):
            raise SettingsError(f"{self.residue} needs its molecule once: either smiles or file")
        if self.file is not None and self.file.suffix.lower() not in _MOLECULE_SUFFIXES:
            raise SettingsError(f"file is {self.file}, but must end in {', '.join(_MOLECULE_SUFFIXES)}")
        if self.place_at is not None and self.place_at.count(":") != 1:
            raise SettingsError(f"place_at names '{self.place_at}', but must write chain:number, such as A:262")


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
    ligand: tuple[LigandSettings, ...] = setting("Small molecules that are kept: see [[preparation.ligand]].", ())
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
        self._check_ligands()

    def _check_ligands(self) -> None:
        named = [ligand.residue for ligand in self.ligand]
        for residue in named:
            if residue.partition(" ")[0] in self.keep_heterogens:
                raise SettingsError(f"{residue} is named in keep_heterogens and as a ligand: take it out of the former")
            if named.count(residue) > 1:
                raise SettingsError(f"two ligands have the residue '{residue}': give each its own")
