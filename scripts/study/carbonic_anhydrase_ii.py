"""Simulate carbonic anhydrase II with Orb-v3, from the crystal to the analysis, as in the paper (arXiv 2504.06231).

    python scripts/study/carbonic_anhydrase_ii.py --output runs/carbonic-anhydrase-ii --max-hours 23.5

Prepares 2CBA once, minimises, heats to 300 K, equilibrates, produces 700 ps without restraints, then compares the run
with the crystal and writes a page. The same command continues an interrupted run; `scripts/study/slurm/run.sh` does the
same with the command line. Needs a GPU and the weights of orb-v3-direct-inf-omat, which it downloads. Without them, use
--weights FILE (any state dict of that architecture) for a short run, or --system for a smaller system.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

from orbmm.analysis import analyze_recording, read_run_folder, write_analysis
from orbmm.checkpoints.catalog import find_record
from orbmm.errors import OrbmmError
from orbmm.preparation.elements import KnownElements
from orbmm.preparation.prepare import prepare_system
from orbmm.preparation.write import write_prepared
from orbmm.report import list_findings, write_figures
from orbmm.report.page import write_page
from orbmm.settings import Settings, override_settings, read_settings
from orbmm.settings.stage import StageSettings
from orbmm.simulation.folder.changes import ResumeRequest
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import Outcome, resume_run, start_run

SYSTEM = Path(__file__).parents[2] / "systems" / "carbonic-anhydrase-ii" / "system.toml"
STAGES = (
    StageSettings(kind="minimise"),
    StageSettings(kind="heat", from_temperature_kelvin=50.0, length_ps=2.0),
    StageSettings(kind="equilibrate", length_ps=10.0),
    StageSettings(kind="produce"),
)


def prepare(arguments: argparse.Namespace) -> Path:
    """The prepared system.toml: built unless the folder holds it, or the system names its structure already."""
    settings = override_settings(read_settings(arguments.system), {"system": {"source": arguments.structure}})
    if settings.system.structure is not None:
        return arguments.system
    folder = arguments.output / "prepared"
    if (folder / "system.toml").exists():
        return folder / "system.toml"
    record = find_record(settings.model.name)
    known = KnownElements(record.name, frozenset(record.elements))
    return write_prepared(prepare_system(settings.system, settings.preparation, known), settings, folder)


def simulate(system: Path, arguments: argparse.Namespace) -> Outcome:
    """Start the run, or go on with it."""
    folder = arguments.output / "run"
    if (folder / "run.json").exists():
        return resume_run(folder, show, request=ResumeRequest(max_hours=arguments.max_hours))
    return start_run(plan(read_settings(system), folder, arguments), show, max_hours=arguments.max_hours)


def plan(settings: Settings, folder: Path, arguments: argparse.Namespace) -> Settings:
    """The stages of the file, or STAGES where it has none, at the lengths that were asked for."""
    lengths = {"heat": arguments.heat_ps, "equilibrate": arguments.equilibrate_ps}
    stages = tuple(
        replace(stage, length_ps=lengths.get(stage.kind, stage.length_ps)) for stage in settings.stage or STAGES
    )
    changes = {
        "model": {"weights": arguments.weights, "device": arguments.device},
        "run": {"length_ps": arguments.length_ps, "frame_every_fs": arguments.frame_every_fs, "output": folder},
    }
    return replace(override_settings(settings, changes), stage=stages)


def conclude(folder: Path, crystal: Path | None) -> str:
    """Numbers, figures and a page in the run folder; the verdict in one line."""
    recording = read_run_folder(folder)
    analysis = analyze_recording(recording, crystal=crystal)
    write_analysis(analysis, folder / "analysis")
    write_figures(analysis.results, folder / "analysis", ("png", "svg"))
    write_page(recording, analysis, folder / "report.html", (folder / "settings.toml").read_text(encoding="utf-8"))
    return "\n".join([*list_findings(analysis.results), analysis.verdict.line])


def show(progress: Progress) -> None:
    """One line now and then; a day of it fits a log."""
    if progress.step % 1000 == 0 or progress.step == progress.total_steps:
        print(
            f"step {progress.step} of {progress.total_steps}, {progress.temperature_kelvin:.0f} K, "
            f"{progress.ns_per_day:.3g} ns/day",
            flush=True,
        )


def read_arguments() -> argparse.Namespace:
    """The command line of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", type=Path, default=SYSTEM, help="another system, such as the embedded peptide")
    parser.add_argument("--structure", help="a file in place of what the system is built from; default: its entry")
    parser.add_argument("--output", type=Path, default=Path("runs/carbonic-anhydrase-ii"))
    parser.add_argument("--weights", type=Path, help="a local checkpoint in place of the published one")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--heat-ps", type=float, default=2.0)
    parser.add_argument("--equilibrate-ps", type=float, default=10.0)
    parser.add_argument("--length-ps", type=float, default=700.0, help="of production")
    parser.add_argument("--frame-every-fs", type=float, default=100.0)
    parser.add_argument("--crystal", type=Path, help="PDB entry to compare with; default: the prepared start alone")
    parser.add_argument("--max-hours", type=float, help="save and end after this time; call again to go on")
    return parser.parse_args()


def main() -> int:
    """Run the study as far as it comes; the exit code."""
    arguments = read_arguments()
    arguments.output = arguments.output.resolve()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        outcome = simulate(prepare(arguments), arguments)
        if not outcome.finished:
            print(f"stopped in order at step {outcome.step}: give the same command again to go on")
            return 0
        print(conclude(outcome.folder, arguments.crystal))
    except OrbmmError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
