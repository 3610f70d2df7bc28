"""Confidence along a run, from records made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.confident import EDGES, make_errors, write_confidence
from analysis.synthetic import Jiggle, make_box, make_trajectory, write_run_folder
from mdtraj.formats.pdb.pdbstructure import PdbStructure

from orbmm.analysis import Result, compute_confidence, judge, read_confidence, write_b_factors
from orbmm.analysis.result import NothingToMeasure
from orbmm.analysis.verdict import Outcome
from orbmm.errors import AnalysisError

WATERS = 20
TOPOLOGY = make_box(WATERS).topology
ATOMS = TOPOLOGY.n_atoms
FRAMES = 12


def measure(folder: Path, discard_ps: float = 0.0) -> Result:
    return compute_confidence(read_confidence(folder), TOPOLOGY, discard_ps)


def store(error: np.ndarray) -> np.ndarray:
    """What the file keeps of an error."""
    return error.astype(np.float16).astype(float)


def test_means_are_those_of_the_records(tmp_path: Path) -> None:
    error = make_errors(FRAMES, ATOMS)
    result, kept = measure(write_confidence(tmp_path, error), discard_ps=0.03), store(error)[3:]
    np.testing.assert_allclose(result.values["atom_error"], kept.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(result.values["solute"], store(error)[:, :22].mean(axis=1), rtol=1e-12)
    assert result.number("water_mean") == pytest.approx(kept[:, 22:].mean())
    assert result.number("all_atoms_mean") == pytest.approx(kept.mean())
    assert result.frames == FRAMES - 3 and len(result.values["time"]) == FRAMES
    for row, residue in enumerate(list(TOPOLOGY.residues)[:3]):
        members = [atom.index for atom in residue.atoms]
        assert result.values["residue_error"][row] == pytest.approx(kept[:, members].mean())
    assert result.values["residue_names"][:, 0].tolist() == ["ACE0", "ALA1", "NME2"]


def test_the_atom_at_the_end_of_the_scale_is_the_least_known(tmp_path: Path) -> None:
    result = measure(write_confidence(tmp_path, make_errors(FRAMES, ATOMS)))
    assert result.values["least_known"][0].tolist() == ["ACE0-CH3", "0.297", "1.000"]
    assert result.values["atom_last_bin"][0] == 1.0 and result.values["atom_last_bin"][1:].max() == 0.0
    assert result.number("doubtful_share") == pytest.approx(1 / ATOMS)
    assert "left out when the head was trained" in result.method


def test_bins_along_time_are_shares_of_the_atoms(tmp_path: Path) -> None:
    error = make_errors(FRAMES, ATOMS)
    shares = measure(write_confidence(tmp_path, error)).values["bin_shares"]
    expected = [np.histogram(np.minimum(row, 0.2999), bins=EDGES)[0] / ATOMS for row in error]
    np.testing.assert_allclose(shares, expected, atol=1e-12)


def test_maps_do_not_grow_with_the_run(tmp_path: Path) -> None:
    error = make_errors(900, ATOMS)
    values = measure(write_confidence(tmp_path, error)).values
    assert values["residue_map"].shape == (200, 3) and values["bin_shares"].shape == (200, 50)
    owner = [row * 200 // 900 for row in range(900)]
    first = [row for row in range(900) if owner[row] == 7]
    assert values["residue_map"][7, 0] == pytest.approx(store(error)[first][:, :6].mean())
    assert values["stretch_start"][7] == pytest.approx(0.01 * first[0])


def test_chunks_of_records_add_up_to_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_confidence(tmp_path, make_errors(FRAMES, ATOMS))
    whole = measure(tmp_path)
    monkeypatch.setattr("orbmm.run_files.confidence._ATOMS_PER_CHUNK", 5 * ATOMS)
    parts = measure(tmp_path)
    for name, value in whole.values.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(parts.values[name], value, rtol=1e-12)


def test_many_doubtful_atoms_call_for_caution_and_do_not_make_a_run_unstable(tmp_path: Path) -> None:
    error = make_errors(FRAMES, ATOMS)
    sure = judge({"confidence": measure(write_confidence(tmp_path, np.minimum(error, 0.1)))})
    error[:, 30:60] = 0.2
    doubtful = judge({"confidence": measure(write_confidence(tmp_path, error))})
    assert sure.checks[0].outcome is Outcome.PASSED and doubtful.checks[0].outcome is Outcome.CAUTION
    assert doubtful.line.startswith("stable: unknown territory for 38 % of the atoms (first ACE0-CH3)")
    assert "above 0.15 eV/Å for at most 1.0%" in doubtful.checks[0].limit


@pytest.mark.parametrize("suffix", [".pdb", ".cif"])
def test_b_factors_are_read_back_from_the_structure(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0.0, 30.0, ATOMS)
    write_b_factors(make_box(WATERS), values, tmp_path / f"confidence{suffix}")
    if suffix == ".pdb":
        with (tmp_path / "confidence.pdb").open() as file:
            found = [atom.temperature_factor for atom in PdbStructure(file).iter_atoms()]
    else:
        rows = (tmp_path / "confidence.cif").read_text().splitlines()
        names = [row.removeprefix("_atom_site.") for row in rows if row.startswith("_atom_site.")]
        found = [
            float(row.split()[names.index("B_iso_or_equiv")]) for row in rows if row.startswith(("ATOM", "HETATM"))
        ]
    np.testing.assert_allclose(found, values, atol=0.0051)
    assert md.load(str(tmp_path / f"confidence{suffix}")).n_atoms == ATOMS


def test_b_factors_beyond_the_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=f"must be {ATOMS} numbers between -10 and 100"):
        write_b_factors(make_box(WATERS), np.full(ATOMS, 100.0), tmp_path / "a.pdb")


def test_a_run_with_confidence_gets_a_structure_to_colour(tmp_path: Path, analyze_and_draw: Callable) -> None:
    run = write_run_folder(tmp_path / "run", make_trajectory(Jiggle(frames=FRAMES), WATERS))
    answer = analyze_and_draw(write_confidence(run, make_errors(FRAMES, ATOMS)))
    assert answer.exit_code == 0, answer.output
    assert "largest expected force errors: ACE0-CH3 0.297 eV/Å" in answer.output
    assert {path.suffix for path in (run / "analysis").glob("confidence.*")} == {".pdb", ".csv", ".npz", ".png", ".svg"}
    with (run / "analysis" / "confidence.pdb").open() as file:
        first = next(PdbStructure(file).iter_atoms())
    assert first.temperature_factor == pytest.approx(29.7, abs=0.02)  # float16, then two digits


def spoil(folder: Path, what: str) -> None:
    path, header = folder / "confidence.dat", folder / "confidence.json"
    if what == "torn":
        path.write_bytes(path.read_bytes()[:-7])
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "header":
        header.write_text("{}")
    elif what == "edges":
        header.write_text(json.dumps({"atoms": ATOMS, "bin_edges_ev_per_angstrom": [0.0, 0.1, 0.1]}))
    else:
        header.write_text(json.dumps({"atoms": ATOMS, "bin_edges_ev_per_angstrom": EDGES[:10].tolist()}))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("torn", f"torn after record {FRAMES - 1}"),
        ("empty", "holds no whole record"),
        ("header", "cannot be read as the header"),
        ("edges", "ascending edges"),
        ("bins", "a bin beyond the 9"),
    ],
)
def test_damaged_records_are_one_sentence(tmp_path: Path, analyze: Callable, what: str, words: str) -> None:
    run = write_run_folder(tmp_path / "run", make_trajectory(Jiggle(frames=FRAMES), WATERS))
    spoil(write_confidence(run, make_errors(FRAMES, ATOMS)), what)
    answer = analyze(run)
    assert answer.exit_code == 2 and words in answer.stderr and answer.stderr.count("\n") == 1


def test_records_of_other_atoms_are_refused(tmp_path: Path) -> None:
    write_confidence(tmp_path, make_errors(FRAMES, ATOMS + 3))
    with pytest.raises(AnalysisError, match=f"has {ATOMS + 3} atoms a record, but the topology {ATOMS}"):
        measure(tmp_path)


def test_a_cut_that_leaves_no_record_leaves_nothing_to_measure(tmp_path: Path) -> None:
    with pytest.raises(NothingToMeasure, match="discard less"):
        measure(write_confidence(tmp_path, make_errors(FRAMES, ATOMS)), discard_ps=5.0)
