"""Names of elements for tables and errors."""

from __future__ import annotations

from collections.abc import Iterable

_TABLE = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar
K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe
Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf
Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th
Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs
Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
_SYMBOLS = _TABLE.split()


def element_symbol(atomic_number: int) -> str:
    """Return the symbol of an atomic number, such as "Zn" for 30, or the number itself if there is no such element."""
    return _SYMBOLS[atomic_number - 1] if 1 <= atomic_number <= len(_SYMBOLS) else str(atomic_number)


def describe_elements(atomic_numbers: Iterable[int]) -> str:
    """Return the elements as text: "H, C, N, O" for 1, 6, 7, 8; runs of more than three become "H to Bi, Ac to Pu"."""
    runs: list[list[int]] = []
    for number in sorted(set(atomic_numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(_describe_run(run) for run in runs)


def _describe_run(run: list[int]) -> str:
    if len(run) > 3:
        return f"{element_symbol(run[0])} to {element_symbol(run[-1])}"
    return ", ".join(element_symbol(number) for number in run)
