"""The periodic neighbour graph: which atoms see which, through which image of the cell."""
