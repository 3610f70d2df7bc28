"""What a run writes while it goes on: one file per reporter."""
