"""Geometry in a periodic box: pairs within a cutoff, whole molecules."""
