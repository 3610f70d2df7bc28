"""The first model of a file that holds several: later ones may differ, and are not used."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from orbmm.preparation.reading.atom_site import open_atom_site
from orbmm.preparation.reading.source import StructureFile


def keep_first_model(file: StructureFile) -> tuple[StructureFile, int]:
    """Return the file with its first model alone, and how many models it has."""
    if file.kind == "cif":
        return _keep_first_in_cif(file)
    lines = file.text.splitlines()
    models = sum(line.startswith("MODEL ") for line in lines)
    if models == 0:
        return file, 1
    return dataclasses.replace(file, text="\n".join(_drop_later_models(lines)) + "\n"), models


def _drop_later_models(lines: list[str]) -> Iterator[str]:
    """Yield the first model and the records around all of them: connections come after the last."""
    models, inside = 0, False
    for line in lines:
        if line.startswith("MODEL "):
            models, inside = models + 1, True
        elif line.startswith("ENDMDL"):
            inside = False
        elif not inside or models < 2:
            yield line


def _keep_first_in_cif(file: StructureFile) -> tuple[StructureFile, int]:
    site = open_atom_site(file)
    numbers = list(dict.fromkeys(row.get("pdbx_PDB_model_num", "") for row in site.read_rows()))
    if len(numbers) < 2:
        return file, 1
    site.keep(lambda row: row.get("pdbx_PDB_model_num", "") == numbers[0])
    return dataclasses.replace(file, text=site.format_text()), len(numbers)
