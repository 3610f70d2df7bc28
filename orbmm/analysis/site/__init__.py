"""Observables of an active site: metals, ligands, protons, water."""
