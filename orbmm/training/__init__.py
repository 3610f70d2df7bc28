"""Data sets, losses and the loop that make the embedded networks."""
