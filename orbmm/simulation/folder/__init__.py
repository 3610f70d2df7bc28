"""The run folder during a run: lock, record, checkpoints and accepted changes."""
