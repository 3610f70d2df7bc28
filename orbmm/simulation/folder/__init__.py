"""The run folder while a run writes it: claim, record, checkpoints, accepted changes."""
