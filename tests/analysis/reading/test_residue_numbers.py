"""Residues above 9999 of a PDB file have the numbers that its writer gave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from orbmm.analysis import read_structure

RESIDUES = 14_200  # beyond AFFF


def count_hexadecimal(number: int) -> str:
    """As OpenMM and VMD: A000 is 10000."""
    return f"{number}" if number < 10_000 else f"{number - 10_000 + 0xA000:04X}"


def count_hybrid(number: int) -> str:
    """As in hybrid-36: A000 is 10000, A00Z is 10035, A010 is 10036."""
    if number < 10_000:
        return f"{number}"
    digits, rest = "", number - 10_000
    for _ in range(3):
        rest, digit = divmod(rest, 36)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + digits
    return "ABC"[rest] + digits


@pytest.mark.parametrize("write", [count_hexadecimal, count_hybrid])
def test_residues_above_9999_have_their_numbers(write, tmp_path: Path) -> None:
    path = tmp_path / "waters.pdb"
    lines = [
        f"HETATM{number % 100_000:5d}  O   HOH A{write(number):>4s}    {number % 100:8.3f}{number // 100:8.3f}{0:8.3f}"
        "  1.00  0.00           O"
        for number in range(1, RESIDUES + 1)
    ]
    path.write_text("\n".join([*lines, "END", ""]))
    numbers = [residue.resSeq for residue in read_structure(path).topology.residues]
    assert numbers == list(range(1, RESIDUES + 1))


def test_the_first_sixteen_are_alike_in_both() -> None:
    assert [count_hybrid(n) == count_hexadecimal(n) for n in (10_000, 10_015, 10_016)] == [True, True, False]
