"""Observables of the protein: RMSD, RMSF, contacts, bonds, angles."""
