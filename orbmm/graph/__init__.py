"""The periodic neighbour graph: pairs of atoms within a cutoff, each through one image of the cell."""
