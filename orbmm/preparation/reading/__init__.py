"""Read a structure: from a file, a name or the Protein Data Bank."""
