"""Diagnose both embedded networks on the shipped peptide box: the table of docs/validation.md.

    python scripts/embedded/measure_diagnosis.py --to docs/embedded

Writes diagnosis-<model>.json for each, and the table in docs/validation.md between its two marks.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

from orbmm.diagnose.measure import Plan, diagnose_model
from orbmm.diagnose.subject import read_shipped
from orbmm.files import replace_file
from orbmm.run_files.diagnosis import Diagnosis, format_diagnosis, read_diagnosis

CONSERVATIVE, DIRECT = "orb-mini-conservative-inf-xtb", "orb-mini-direct-inf-xtb"
PAGE = Path(__file__).parents[2] / "docs" / "validation.md"
START, END = "<!-- diagnosis -->\n", "<!-- end of diagnosis -->\n"


def format_table(conservative: Diagnosis, direct: Diagnosis) -> str:
    """The rows that both have, with the limit; and those that only the conservative one has."""
    rows = ["| quantity | conservative | direct | passes up to |", "|---|---|---|---|"]
    others = {each.name: each for each in direct.diagnostics}
    for each in conservative.diagnostics:
        other = others[each.name].value if each.name in others else None
        cells = [f"{each.value:.3g}", "not measured" if other is None else f"{other:.3g}", f"{each.threshold:.3g}"]
        rows.append(f"| {each.name}{f' [{each.unit}]' if each.unit else ''} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def write_table(page: Path, table: str) -> None:
    """Replace what is between the two marks of the page."""
    before, rest = page.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    page.write_text(f"{before}{START}\n{table}\n{END}{after}", encoding="utf-8")


def main(folder: Path) -> None:
    """Measure both and write files and table."""
    (frame,) = read_shipped()
    other = {CONSERVATIVE: DIRECT, DIRECT: CONSERVATIVE}
    for name in (CONSERVATIVE, DIRECT):
        plan = Plan(heating_ps=0.2, long_step=name == CONSERVATIVE)
        with replace_file(folder / f"diagnosis-{name}.json") as partial:
            partial.write_bytes(format_diagnosis(diagnose_model(name, frame, other[name], plan=plan)))
    found = [read_diagnosis(folder / f"diagnosis-{name}.json") for name in (CONSERVATIVE, DIRECT)]
    write_table(PAGE, format_table(*found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True, help="folder for the JSON files")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(parser.parse_args().to)
