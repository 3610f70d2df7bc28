"""Neighbour searches: one file per method, all giving the same candidates."""
