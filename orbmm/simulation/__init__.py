"""A prepared box and its settings become a run folder: minimise, Langevin dynamics, files, checkpoints, resume."""
