"""Observables of the run itself: temperature, energy, equipartition, confidence."""
