"""Measure the speed of forces and steps on this machine, also in comparison with the official implementation."""
