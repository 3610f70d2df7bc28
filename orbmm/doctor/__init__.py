"""Looks over an installation without a network: what is there, what works together, what to do about the rest."""
