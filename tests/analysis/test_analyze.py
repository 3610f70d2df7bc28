"""`orbmm analyze`, from files to files."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.backbone import grow_backbone
from analysis.site.test_chemistry import hop
from analysis.synthetic import Jiggle, make_trajectory, write_energies, write_run_folder
from analysis.zinc_site import make_site
from typer.testing import Result

from orbmm.analysis import analyze_recording, read_plain_trajectory, read_result, read_run_folder
from orbmm.analysis.reading.run_folder import read_structure
from orbmm.errors import AnalysisError

Analyze = Callable[..., Result]
OBSERVABLES = (
    "rmsd", "bonds", "angles", "temperature", "energy", "radius_of_gyration", "rmsf", "ramachandran", "protonation",
    "bond_events", "rdf_oo", "rdf_oh", "hydrogen_bonds", "density", "diffusion",
)  # fmt: skip
DRY = (
    "rmsd",
    "bonds",
    "angles",
    "radius_of_gyration",
    "rmsf",
    "ramachandran",
    "protonation",
    "bond_events",
    "hydrogen_bonds",
)


def test_a_run_folder_gets_numbers_tables_figures_and_a_verdict(run_folder: Path, analyze_and_draw: Analyze) -> None:
    answer = analyze_and_draw(run_folder)
    assert answer.exit_code == 0, answer.output
    assert answer.output.splitlines()[-1].startswith("stable: temperature 30")
    summary = json.loads((run_folder / "analysis" / "results.json").read_text())
    assert summary["stable"] and summary["verdict"] == answer.output.splitlines()[-1]
    assert tuple(sorted(summary["results"])) == tuple(sorted(OBSERVABLES))
    assert summary["limits"]["broken_bonds"] == 0 and summary["run"]["model"] == "synthetic"
    for name in OBSERVABLES:
        assert {path.suffix for path in (run_folder / "analysis").glob(f"{name}.*")} == {".csv", ".npz", ".png", ".svg"}
    assert read_result(run_folder / "analysis" / "bonds.npz").number("bonds") == 141


def test_a_dcd_run_gives_the_same_rmsd(tmp_path: Path) -> None:
    moving = make_trajectory(Jiggle(frames=20, shake_nm=0.01))
    folders = [write_run_folder(tmp_path / kind, moving, kind) for kind in ("xtc", "dcd")]
    xtc, dcd = (analyze_recording(read_run_folder(folder)).results["rmsd"] for folder in folders)
    np.testing.assert_allclose(xtc.values["heavy_atoms"], dcd.values["heavy_atoms"], atol=0.01)
    assert dcd.number("heavy_atoms_largest") > 0.1


def test_a_broken_bond_ends_with_exit_code_3(tmp_path: Path, analyze_and_draw: Analyze) -> None:
    moving = make_trajectory(Jiggle())
    moving.xyz[30:, 8] += 0.2
    answer = analyze_and_draw(write_run_folder(tmp_path / "run", moving))
    assert answer.exit_code == 3
    assert "NOT stable: 4 bonds broken" in answer.output
    assert (tmp_path / "run" / "analysis" / "bonds.png").is_file()


def test_a_stopped_run_is_analysed_and_its_reason_told(run_folder: Path, analyze: Analyze) -> None:
    for step, name in ((700, "earlier-reason.txt"), (1200, "reason.txt")):
        fault = run_folder / "rescue" / f"step-{step:012d}"
        fault.mkdir(parents=True)
        (fault / name).write_text(f"step {step}: atom 3 moves too fast\n")
    answer = analyze(run_folder)
    line = answer.output.splitlines()[-1]
    assert answer.exit_code == 3
    assert line.startswith("NOT stable: stopped by the guard (step 1200: atom 3 moves too fast), temperature")
    assert json.loads((run_folder / "analysis" / "results.json").read_text())["checks"][0]["name"] == "end"


def test_a_run_that_was_stopped_before_its_first_frame_tells_why(run_folder: Path, analyze: Analyze) -> None:
    fault = run_folder / "rescue" / "equilibrate-000000000040"
    fault.mkdir(parents=True)
    (fault / "reason.txt").write_text("step 40: atom 3 moves too fast\n")
    (run_folder / "trajectory.xtc").unlink()
    answer = analyze(run_folder)
    assert answer.exit_code == 2
    assert answer.stderr.strip().endswith(
        "stopped the run before its first frame of production: step 40: atom 3 moves too fast"
    )


def test_a_hot_run_is_not_stable(tmp_path: Path) -> None:
    folder = write_run_folder(tmp_path / "run", make_trajectory(Jiggle(frames=200)), kelvin=560.0)
    assert "(hotter than 300 K)" in analyze_recording(read_run_folder(folder)).verdict.line


def test_a_trajectory_alone_says_what_it_lacks(run_folder: Path, analyze_and_draw: Analyze, tmp_path: Path) -> None:
    trajectory, topology = run_folder / "trajectory.xtc", run_folder / "topology.pdb"
    answer = analyze_and_draw("--trajectory", trajectory, "--topology", topology, "--output", tmp_path / "a")
    assert answer.exit_code == 0, answer.output
    assert "Temperature: not in a trajectory" in answer.output
    assert "stable: no broken bonds, no angle bent for good, backbone RMSD" in answer.output
    drawn = {path.stem for path in (tmp_path / "a").glob("*.png")}
    assert drawn == set(OBSERVABLES) - {"temperature", "energy"}


def test_the_start_can_be_discarded(run_folder: Path) -> None:
    analysis = analyze_recording(read_run_folder(run_folder), discard_ps=0.3)
    frames = {name: result.frames for name, result in analysis.results.items()}
    assert analysis.discard_ps == 0.3
    assert frames["temperature"] == frames["energy"] == frames["rdf_oo"] == 30
    assert frames["rmsd"] == frames["bonds"] == 60


def test_a_peptide_in_vacuum_has_no_water_structure(tmp_path: Path) -> None:
    dry = make_trajectory(Jiggle(frames=5)).make_molecules_whole().atom_slice(range(22))
    dry.unitcell_vectors = None
    dry.save(str(tmp_path / "dry.xtc"))
    dry[0].save(str(tmp_path / "dry.pdb"))
    analysis = analyze_recording(read_plain_trajectory(tmp_path / "dry.xtc", tmp_path / "dry.pdb"))
    assert analysis.missing["rdf_oo"] == "there are fewer than two waters"
    assert analysis.verdict.stable and set(analysis.results) == set(DRY)


@pytest.mark.parametrize("factors", [None, 12.0])
def test_a_structure_without_b_factors_is_compared_by_shape_and_named(tmp_path: Path, factors: float | None) -> None:
    helix = grow_backbone(-57.0, -47.0)
    moving = md.join([helix] * 4)
    moving.save(str(tmp_path / "run.xtc"))
    helix.save(str(tmp_path / "run.pdb"))
    helix.save_pdb(str(tmp_path / "model.pdb"), bfactors=None if factors is None else np.full(helix.n_atoms, factors))
    recording = read_plain_trajectory(tmp_path / "run.xtc", tmp_path / "run.pdb")
    analysis = analyze_recording(recording, crystal=tmp_path / "model.pdb")
    assert analysis.results["crystal_rmsd"].number("backbone_last") == pytest.approx(0.0, abs=0.01)
    assert ("crystal" in analysis.results["rmsf"].values) == (factors is not None)
    assert any("has no B-factors" in note for note in analysis.notes) == (factors is None)


def damage(folder: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("topology.pdb", None, "topology.pdb: missing"),
        ("trajectory.xtc", None, "trajectory.xtc: missing"),
        ("trajectory.xtc", b"", "trajectory.xtc: no such trajectory, or an empty file"),
        ("energies.csv", None, "energies.csv: missing"),
        ("energies.csv", b"", "energies.csv: the column time_ps is absent"),
        ("settings.toml", None, "settings.toml: missing"),
        ("settings.toml", b"[run", "settings.toml: not a TOML file"),
        ("run.json", b"{", "run.json: cannot be read as the record of a run"),
    ],
)
def test_a_damaged_run_folder_is_one_sentence(
    run_folder: Path, analyze: Analyze, name: str, content: bytes | None, complaint: str
) -> None:
    damage(run_folder, name, content)
    answer = analyze(run_folder)
    assert answer.exit_code == 2
    assert answer.stderr.startswith("error: ") and complaint in answer.stderr
    assert answer.stderr.count("\n") == 1 and answer.stdout == ""


def test_a_torn_trajectory_is_one_sentence(run_folder: Path, analyze: Analyze) -> None:
    path = run_folder / "trajectory.xtc"
    path.write_bytes(path.read_bytes()[:-50])
    answer = analyze(run_folder)
    assert answer.exit_code == 2 and "torn after frame 59" in answer.stderr


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_structure_without_atoms_is_refused(tmp_path: Path) -> None:
    (tmp_path / "topology.pdb").write_text("REMARK nothing\n")
    with pytest.raises(AnalysisError, match="topology.pdb: cannot be read as a structure"):
        read_structure(tmp_path / "topology.pdb")
    gc.collect()  # mdtraj leaves the file open; let it be closed while that is ignored


def test_a_trajectory_of_other_atoms_is_one_sentence(run_folder: Path, analyze: Analyze, tmp_path: Path) -> None:
    make_trajectory(Jiggle(frames=1), waters=10).save(str(tmp_path / "small.pdb"))
    answer = analyze("--trajectory", run_folder / "trajectory.xtc", "--topology", tmp_path / "small.pdb")
    assert answer.exit_code == 2
    assert "has 202 atoms a frame, but the topology 52" in answer.stderr


@pytest.mark.parametrize("arguments", [(), ("--trajectory", "x.xtc"), ("run", "--topology", "x.pdb")])
def test_a_run_folder_or_both_files_must_be_given(analyze: Analyze, arguments: tuple[str, ...]) -> None:
    answer = analyze(*arguments)
    assert answer.exit_code == 2
    assert answer.stderr == "error: give either a run folder, or --trajectory and --topology together\n"


def test_a_folder_that_is_not_there_is_one_sentence(analyze: Analyze, tmp_path: Path) -> None:
    answer = analyze(tmp_path / "nowhere")
    assert answer.exit_code == 2 and "no such run folder" in answer.stderr


def test_an_output_that_cannot_be_written_is_one_sentence(run_folder: Path, analyze: Analyze) -> None:
    answer = analyze(run_folder, "--output", run_folder / "run.json")
    assert answer.exit_code == 2 and "the analysis cannot be written there" in answer.stderr


def test_a_cut_that_leaves_nothing_is_one_sentence(run_folder: Path, analyze: Analyze) -> None:
    answer = analyze(run_folder, "--discard-ps", 50)
    assert answer.exit_code == 2 and "discard less" in answer.stderr


def test_analysis_needs_no_torch_and_no_pyplot(run_folder: Path) -> None:
    script = (
        "import sys; from orbmm.cli.main import build_app;"
        f"build_app()(['analyze', {str(run_folder)!r}], standalone_mode=False);"
        "sys.exit(', '.join({'torch', 'matplotlib.pyplot', 'orbmm.forces'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_energies_are_found_settled_where_no_cut_is_given(run_folder: Path) -> None:
    write_energies(run_folder / "energies.csv", make_trajectory(Jiggle()))
    analysis = analyze_recording(read_run_folder(run_folder), discard_ps=None)
    assert 0.0 <= analysis.discard_ps <= 0.3


def test_a_zinc_site_is_told_in_words(tmp_path: Path, analyze_and_draw: Analyze) -> None:
    site = make_site(12)
    hop(site, slice(4, 12))
    site[0].save_pdb(str(tmp_path / "site.pdb"))
    site.save_xtc(str(tmp_path / "site.xtc"))
    answer = analyze_and_draw("--trajectory", tmp_path / "site.xtc", "--topology", tmp_path / "site.pdb")
    assert "ligands of the metal: HIS2-ND1, HIS3-NE2, HIS4-ND1, HOH5-O" in answer.stdout, answer.output
    assert "oxygen on the metal: HOH5-O, water; at the end HOH5-O, hydroxide" in answer.stdout
    assert "proton HOH5-H1 from HOH5-O to HOH6-O at 0.4 ps" in answer.stdout
    assert "carbon dioxide found: carbon dioxide" in answer.stdout
    for name in ("metal_site", "carbon_dioxide", "protonation", "bond_events"):
        assert (tmp_path / "analysis" / f"{name}.svg").read_text().rstrip().endswith("</svg>")


def test_b_factors_come_from_the_crystal_that_is_given(tmp_path: Path, run_folder: Path, analyze: Analyze) -> None:
    make_trajectory(Jiggle(frames=1)).save_pdb(str(tmp_path / "crystal.pdb"), bfactors=np.full(202, 15.0))
    answer = analyze(run_folder, "--crystal", tmp_path / "crystal.pdb")
    assert answer.exit_code == 0, answer.output
    crystal = read_result(run_folder / "analysis" / "rmsf.npz").values["crystal"]
    assert crystal[1] == pytest.approx(np.sqrt(3.0 * 15.0 / (8.0 * np.pi**2))) and np.isnan(crystal[[0, 2]]).all()
    missing = analyze(run_folder, "--crystal", tmp_path / "nowhere.pdb")
    assert missing.exit_code == 2 and "cannot be read as a crystal structure" in missing.stderr
