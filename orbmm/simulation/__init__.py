"""Run a prepared box: minimisation, dynamics, output files, checkpoints and resuming."""
