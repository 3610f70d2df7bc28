"""Data sets, losses and the training loop of the embedded networks."""
