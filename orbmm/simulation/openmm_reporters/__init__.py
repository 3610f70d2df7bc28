"""Reporters for any OpenMM script: guard, confidence, RMSD."""
