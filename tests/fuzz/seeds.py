"""Valid files of every format that a person hands to orbmm: small, so that most edits hit what matters."""

from __future__ import annotations

import io
import tempfile
import warnings
from functools import cache
from pathlib import Path

import mdtraj as md
import numpy as np
from oracles.peptide_lines import build_peptide, format_cif, format_lines

FRAMES = 3
BOX = "CRYST1   18.000   18.000   18.000  90.00  90.00  90.00 P 1           1"
WATER = (
    "HETATM   11  O   HOH B   3      12.000   0.000   0.000  1.00  0.00           O",
    "HETATM   12  H1  HOH B   3      12.957   0.000   0.000  1.00  0.00           H",
    "HETATM   13  H2  HOH B   3      11.760   0.927   0.000  1.00  0.00           H",
)
ZINC = "HETATM   14 ZN    ZN C   4       9.000   9.000   9.000  1.00  0.00          ZN"
SETTINGS = """\
[system]
name = "water"
structure = "water.pdb"
source = "water"
padding_nm = 1.0
ph = 7.4
seed = 3

[model]
name = "orb-mini-direct-inf-xtb"
precision = "float32-high"
charge = 0

[run]
timestep_fs = 0.5
length_ps = 1.0
temperature_kelvin = 300.0
table_every_fs = 10.0
frame_every_fs = 10.0

[preparation]
chains = ["A"]
variants = { "A:64" = "HIE" }

[[stage]]
kind = "equilibrate"
length_ps = 0.5

[[stage]]
kind = "produce"
length_ps = 0.5
"""


@cache
def list_settings() -> tuple[bytes, ...]:
    """A settings file with every kind of value: text, numbers, lists, tables, lists of tables."""
    return (SETTINGS.encode(), b'[system]\nname = "a"\n')


@cache
def list_pdb() -> tuple[bytes, ...]:
    """A peptide, water and zinc; the same without a box and as two models; with alternate locations and bonds."""
    peptide = format_lines(build_peptide(["GLY", "ALA"]))
    whole = [*peptide, "TER", *WATER, ZINC]
    models = ["MODEL        1", *peptide, "ENDMDL", "MODEL        2", *peptide, "ENDMDL", "END"]
    other = [line[:16] + "A" + line[17:] for line in peptide[-2:-1]]
    other += [line[:16] + "B" + line[17:30] + "   3.329" + line[38:] for line in peptide[-2:-1]]
    located = ["SSBOND   1 CYS A    1    CYS A    2", *peptide[:-2], *other, peptide[-1], "CONECT    1    2", "END"]
    return tuple(("\n".join(lines) + "\n").encode() for lines in ([BOX, *whole, "END"], whole, models, located))


@cache
def list_crystals() -> tuple[bytes, ...]:
    """The peptide with B-factors."""
    return (list_pdb()[1].replace(b"  1.00  0.00 ", b"  1.00 12.50 "),)


@cache
def list_cif() -> tuple[bytes, ...]:
    """The peptide as an author names it, with a box, and as two models."""
    lines = format_lines(build_peptide(["GLY", "ALA"]))
    lengths = "".join(f"_cell.length_{axis} 18.0\n" for axis in "abc")
    angles = "".join(f"_cell.angle_{angle} 90.0\n" for angle in ("alpha", "beta", "gamma"))
    plain = format_cif(lines, "B")
    rows = [line for line in plain.splitlines() if line.startswith("ATOM")]
    second = "".join(f"{row[:-1]}2\n" for row in rows)
    models = plain.replace(rows[-1] + "\n", rows[-1] + "\n" + second)
    return plain.encode(), plain.replace("loop_", lengths + angles + "loop_", 1).encode(), models.encode()


@cache
def make_moving() -> md.Trajectory:
    """The peptide, water and zinc in a box, FRAMES frames of them."""
    start = _load(list_pdb()[0], "start.pdb")
    noise = 0.001 * np.random.default_rng(1).normal(size=(FRAMES, start.n_atoms, 3))
    boxes = np.repeat(start.unitcell_vectors, FRAMES, axis=0)
    moving = md.Trajectory(start.xyz + noise, start.topology, time=np.arange(FRAMES) * 0.01)
    moving.unitcell_vectors = boxes
    return moving


def _load(content: bytes, name: str) -> md.Trajectory:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return md.load(str(path))


@cache
def make_file(suffix: str) -> bytes:
    """The moving peptide in a format of mdtraj; a lone frame where it holds no more."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package netCDF4, which is faster
        path = Path(folder) / f"moving{suffix}"
        if suffix == ".lammpstrj":
            path.write_text(_format_lammps(make_moving()))
        elif suffix == ".mol2":
            path.write_text(_MOL2)
        elif suffix == ".psf":
            path.write_text(_PSF)
        else:
            make_moving()[: 1 if suffix == ".ncrst" else FRAMES].save(str(path))
        return path.read_bytes()


def _format_lammps(moving: md.Trajectory) -> str:
    text = io.StringIO()
    for frame in range(moving.n_frames):
        text.write(f"ITEM: TIMESTEP\n{frame}\nITEM: NUMBER OF ATOMS\n{moving.n_atoms}\n")
        text.write("ITEM: BOX BOUNDS pp pp pp\n0.0 18.0\n0.0 18.0\n0.0 18.0\nITEM: ATOMS id type x y z\n")
        for index, (x, y, z) in enumerate(10.0 * moving.xyz[frame], start=1):
            text.write(f"{index} 1 {x:.4f} {y:.4f} {z:.4f}\n")
    return text.getvalue()


_MOL2 = """@<TRIPOS>MOLECULE
water
 3 2 1 0 0
SMALL
NO_CHARGES

@<TRIPOS>ATOM
  1 O   0.0000  0.0000 0.0000 O.3 1 HOH 0.0
  2 H1  0.9570  0.0000 0.0000 H   1 HOH 0.0
  3 H2 -0.2400  0.9270 0.0000 H   1 HOH 0.0
@<TRIPOS>BOND
  1 1 2 1
  2 1 3 1
"""
_PSF = """PSF

       1 !NTITLE
 REMARKS water

       3 !NATOM
       1 W    1    HOH  OH2  OT    -0.834000       15.9994           0
       2 W    1    HOH  H1   HT     0.417000        1.0080           0
       3 W    1    HOH  H2   HT     0.417000        1.0080           0

       2 !NBOND: bonds
       1       2       1       3
"""
