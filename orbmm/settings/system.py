"""What is simulated: a prepared box, and how it is built where it is not there yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orbmm.settings.field import Limits, check_fields, setting
from orbmm.settings.paths import check_name

BOX_SHAPES = ("cube", "dodecahedron", "octahedron")
LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class SystemSettings:
    """The table [system]; paths in a file are relative to that file, in memory they are absolute."""

    name: str = setting("Short name of the system; the default run folder is runs/<name>.")
    structure: Path | None = setting(
        "Prepared box with all hydrogens, .pdb or .cif: what a run reads.", None, fixed=True
    )
    state: Path | None = setting(
        "OpenMM state XML whose positions, velocities and box replace the structure's.", None, fixed=True
    )
    source: str | None = setting(
        "What `orbmm prepare` builds from: alanine-dipeptide, a raw .pdb or .cif, or pdb:<id>.", None
    )
    padding_nm: float = setting(
        "Least distance of two images of the solute, filled with water [nm].", 1.0, Limits(above=0)
    )
    ph: float = setting("pH at which hydrogens are placed.", 7.0, Limits(at_least=0, at_most=14))
    box: str = setting("Shape of the periodic box.", "cube", Limits(choices=BOX_SHAPES))
    salt_molar: float = setting(
        "Sodium chloride added beyond neutralisation [mol/l].", 0.0, Limits(at_least=0, at_most=5)
    )
    neutralize: bool = setting("Whether ions bring the total charge to zero.", True)
    seed: int = setting("Seed of every random choice while building.", 1, Limits(at_least=1, at_most=LARGEST_SEED))

    def __post_init__(self) -> None:
        check_fields(self)
        check_name(self.name)
