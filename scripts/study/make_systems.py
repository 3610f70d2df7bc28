"""Build the structures that are kept in systems/, each from the system.toml beside it.

    python scripts/study/make_systems.py [systems/alanine-dipeptide ...]

The same seed gives the same files on one machine; another processor may round differently.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from orbmm.preparation.prepare import prepare_system
from orbmm.preparation.write import RECORD_FILE, format_structure
from orbmm.settings import read_settings

SYSTEMS = Path(__file__).parents[2] / "systems"
KEPT = ("alanine-dipeptide", "water")


def make(folder: Path) -> None:
    """Build the structure that the folder's system.toml names, and the record of how."""
    settings = read_settings(folder / "system.toml")
    prepared = prepare_system(settings.system, settings.preparation)
    settings.system.structure.write_text(
        format_structure(prepared.topology, prepared.positions, settings.system.structure.suffix)
    )
    record = dataclasses.asdict(prepared.record)
    (folder / RECORD_FILE).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    density = prepared.record.relaxation.density_g_per_cm3
    print(f"{settings.system.structure}: {prepared.record.atoms} atoms, {density} g/cm3")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", default=[SYSTEMS / name for name in KEPT])
    for folder in parser.parse_args().folders:
        make(folder)
