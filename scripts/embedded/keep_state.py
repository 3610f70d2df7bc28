"""Keep the last state of a run as the start of a system that ships: positions, velocities and box, as OpenMM's XML.

python scripts/embedded/keep_state.py --run runs/long --to systems/alanine-dipeptide/equilibrated.xml
"""

from __future__ import annotations

import argparse
from pathlib import Path

from orbmm.run_files.state_xml import read_state

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    newest = max((arguments.run / "checkpoints").glob("step-*/state.xml"), key=lambda path: path.stat().st_mtime)
    state = read_state(newest)
    print(f"{newest}: {len(state.positions)} atoms at {state.time_ps} ps")
    arguments.to.write_text(newest.read_text())
