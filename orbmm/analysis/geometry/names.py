"""Names of residues and atoms in tables, findings and pictures, with the chain where they need it."""

from __future__ import annotations

from collections import Counter

import mdtraj as md

from orbmm.kinds import is_amino_acid, is_water


class Names:
    """The names of a topology: ALA5 and ALA5-CA, or A:ALA5 and A:ALA5-CA.

    The chain is named in a topology with several chains of amino acids, and where two chains have a residue of the same
    name and number. It is the chain's letter, or its number from 1 where letters are missing or alike.
    """

    def __init__(self, topology: md.Topology) -> None:
        self._topology = topology
        chains = list(topology.chains)
        letters = [(chain.chain_id or "").strip() for chain in chains]
        shared = Counter(letters)
        self._chains = [
            letter if letter and shared[letter] == 1 else str(number) for number, letter in enumerate(letters, 1)
        ]
        homes: dict[str, set[int]] = {}
        for residue in topology.residues:
            homes.setdefault(str(residue), set()).add(residue.chain.index)
        self._alike = {name for name, where in homes.items() if len(where) > 1}
        self._several = sum(any(map(is_amino_acid, chain.residues)) for chain in chains) > 1

    def name_chain(self, residue: md.core.topology.Residue) -> str:
        """Return the letter of a residue's chain, or its number."""
        return self._chains[residue.chain.index]

    def name_residue(self, residue: md.core.topology.Residue) -> str:
        """Return the name of a residue of the topology."""
        plain = str(residue)
        if plain in self._alike or (self._several and not is_water(residue)):
            return f"{self.name_chain(residue)}:{plain}"
        return plain

    def name_atom(self, index: int) -> str:
        """Return the name of an atom by its index."""
        atom = self._topology.atom(index)
        return f"{self.name_residue(atom.residue)}-{atom.name}"
