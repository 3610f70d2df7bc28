"""Find for each chain of a simulation the chain of a crystal structure that it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

import mdtraj as md

from orbmm.kinds import find_parent

Residues = AbstractSet[tuple[str, int]]
"""Names of amino acids and numbers: the residues of a chain."""


def name_chains(chains: Iterable[tuple[str, Residues]]) -> list[str]:
    """Return a name for each chain, given its letter and residues: the letter, or a name such as "A2".

    Parts of one chain (its ions, its waters) share its name. Chains of one letter, or of none, that have the same
    residues are told apart by a number.
    """
    held: dict[str, set[tuple[str, int]]] = {}
    names = []
    for letter, residues in chains:
        number, name = 1, letter
        while not held.get(name, set()).isdisjoint(residues):
            number += 1
            name = f"{letter}{number}"
        held.setdefault(name, set()).update(residues)
        names.append(name)
    return names


def list_residues(topology: md.Topology) -> dict[str, set[tuple[str, int]]]:
    """Return the residues of each chain by its name."""
    found: dict[str, set[tuple[str, int]]] = {}
    for name, chain in zip(name_topology_chains(topology), topology.chains, strict=True):
        found.setdefault(name, set()).update(_list_keys(chain))
    return found


def name_topology_chains(topology: md.Topology) -> list[str]:
    """Return the name of each chain of a topology; see `name_chains`."""
    return name_chains(((chain.chain_id or "").strip(), _list_keys(chain)) for chain in topology.chains)


def pair_chains(
    chains: Mapping[str, Residues], others: Mapping[str, Residues], *, several: bool = False
) -> dict[str, str]:
    """Return for each chain the name of the other structure's chain that it is, by the residues that they share.

    It is the chain of the same name, unless another shares at least twice as many residues. Chains with other names go
    with the one that shares most, in order.
    several: True lets one chain stand for several copies of it
    """
    paired: dict[str, str] = {}
    for rule in ("same name", "free", "any")[: 3 if several else 2]:
        for name, residues in chains.items():
            if name in paired:
                continue
            shared = {other: len(residues & keys) for other, keys in others.items()}
            open_ = {other: count for other, count in shared.items() if rule == "any" or other not in paired.values()}
            best = max(open_, key=lambda other: open_[other], default=None)
            if best is None or not open_[best]:
                continue
            if rule != "same name":
                paired[name] = best
            elif 2 * open_.get(name, 0) > open_[best]:
                paired[name] = name
    return paired


def _list_keys(chain: md.core.topology.Chain) -> set[tuple[str, int]]:
    return {(find_parent(residue.name), residue.resSeq) for residue in chain.residues}
