"""From a structure file to a repaired, protonated, solvated box."""
