"""Read the start of a run: structure, box and selections of atoms."""
