"""The files of a run on disk, each format with its writer and its reader: no torch, no OpenMM."""
