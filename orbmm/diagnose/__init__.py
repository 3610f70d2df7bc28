"""Measure on a structure how far a network's energy and forces can be trusted: invariance, conservation, confidence."""
