"""Writers of the output files of a run: one file per reporter."""
