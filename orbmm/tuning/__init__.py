"""Measure on the user's machine how a network is computed fastest, and keep what was found."""
