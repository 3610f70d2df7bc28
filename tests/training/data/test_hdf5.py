"""HDF5: one group a molecule, with one frame or many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from orbmm.cli.main import build_app
from orbmm.errors import TrainingError
from orbmm.settings.training import DataSettings
from orbmm.training.data.reading import read_file, read_structures

h5py = pytest.importorskip("h5py", reason="h5py comes with the extra train")
pytest.importorskip("ase", reason="ASE comes with the extra train")

WATER = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
FORCES = np.arange(9.0).reshape(3, 3)


def settings(path: Path, **changes: object) -> DataSettings:
    return DataSettings(**{"training": (path,), "energy_unit": "eV", "force_unit": "eV/Å", **changes})


def write(path: Path, groups: dict[str, dict[str, object]], attributes: dict[str, object] | None = None) -> Path:
    with h5py.File(path, "w") as file:
        for name, arrays in groups.items():
            group = file.require_group(name)
            for key, values in arrays.items():
                group[key] = values
            group.attrs.update(attributes or {})
    return path


def one(**changes: object) -> dict[str, object]:
    return {"atomic_numbers": [8, 1, 1], "positions": WATER, "energy": -12.5, "forces": FORCES} | changes


def many(frames: int = 4, **changes: object) -> dict[str, object]:
    """Three atoms in several frames; the energy of each is its number."""
    positions = WATER + 0.01 * np.arange(frames)[:, None, None]
    forces = FORCES + 100.0 * np.arange(frames)[:, None, None]
    return one(positions=positions, energy=np.arange(float(frames)), forces=forces) | changes


@pytest.mark.parametrize("suffix", ["h5", "hdf5"])
def test_a_group_is_a_frame(suffix: str, tmp_path: Path) -> None:
    groups = {"a": one(cell=np.diag([5.0, 6.0, 7.0]), solute=[True, False, False]), "deep/b": one(energy=-3.0)}
    path = write(tmp_path / f"frames.{suffix}", groups, {"charge": -1, "multiplicity": 2})
    boxed, free = read_file(path, settings(path))
    assert (boxed.energy, boxed.group, boxed.charge, boxed.multiplicity) == (-12.5, "a", -1, 2)
    assert (free.energy, free.group, free.cell) == (-3.0, "deep/b", None)
    np.testing.assert_array_equal(boxed.forces, FORCES)
    np.testing.assert_array_equal(boxed.positions, WATER)
    np.testing.assert_array_equal(boxed.cell, np.diag([5.0, 6.0, 7.0]))
    assert boxed.peptide.tolist() == [True, False, False] and boxed.source == f"frames.{suffix}, frame 0"


@pytest.mark.parametrize("frames", [1, 3, 4])  # three frames of three atoms: no size tells one from the other
def test_a_group_holds_many_frames(frames: int, tmp_path: Path) -> None:
    given = many(frames, cell=np.stack([np.eye(3) * (9.0 + n) for n in range(frames)]), solute=[True, False, False])
    path = write(tmp_path / "frames.h5", {"water": given})
    found = read_file(path, settings(path))
    assert [frame.energy for frame in found] == list(range(frames))
    assert all(frame.group == "water" and frame.peptide.tolist() == [True, False, False] for frame in found)
    for number, frame in enumerate(found):
        np.testing.assert_allclose(frame.forces, FORCES + 100.0 * number)
        np.testing.assert_allclose(frame.cell, np.eye(3) * (9.0 + number))


def test_other_names_units_and_a_stress_are_taken(tmp_path: Path) -> None:
    arrays = many(dft=np.ones(4), gradient=np.ones((4, 3, 3)), stress=np.ones((4, 6)))
    path = write(tmp_path / "frames.h5", {"water": arrays})
    words = {"energy_key": "dft", "forces_key": "gradient", "energy_unit": "Hartree"}
    frame = read_file(path, settings(path, stress_unit="eV/Å^3", stress_sign="positive under tension", **words))[2]
    assert frame.energy == pytest.approx(27.211386) and frame.forces.max() == 1.0 and frame.stress.tolist() == [1] * 6


def test_frames_without_labels_can_be_labelled(tmp_path: Path) -> None:
    path = write(tmp_path / "frames.h5", {"w": {"atomic_numbers": [8, 1, 1], "positions": WATER}})
    assert not read_structures(path)[0].is_labelled
    result = CliRunner().invoke(
        build_app(), ["label", str(path), str(tmp_path / "out.npz"), "--calculator", "orbmm:orb-mini-direct-inf-xtb"]
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"w": {"atomic_numbers": [8, 1, 1]}}, "has atomic_numbers but no positions"),
        ({"w": many(energy=np.zeros(2))}, "energy of group 'w' has the shape"),
        ({"w": one(positions=WATER[:2])}, "cannot be read as labelled frames"),
        ({"w": {"energy": 1.0}}, "holds no frames"),
        ({"w": one(energy="low")}, "cannot be read as labelled frames"),
    ],
)
def test_arrays_that_do_not_fit_are_named(groups: dict[str, dict[str, object]], said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "frames.h5", groups)
    with pytest.raises(TrainingError, match=said) as caught:
        read_file(path, settings(path))
    assert "frames.h5" in str(caught.value)


@pytest.mark.parametrize("size", [0, 10, 700])
def test_a_torn_file_is_one_sentence(size: int, tmp_path: Path) -> None:
    path = write(tmp_path / "frames.h5", {"w": one()})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(TrainingError, match="cannot be read as labelled frames"):
        read_file(path, settings(path))


def test_a_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    other = write(tmp_path / "other.h5", {"w": one()})
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["w"] = h5py.ExternalLink(other.name, "/w")
    with pytest.raises(TrainingError, match="holds no frames"):
        read_file(tmp_path / "frames.h5", settings(tmp_path / "frames.h5"))
