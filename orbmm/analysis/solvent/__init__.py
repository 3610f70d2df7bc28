"""Observables of water: radial distributions, hydrogen bonds, density, diffusion."""
