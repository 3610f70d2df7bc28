"""Read the start of a run: structure, box, selections of atoms."""
