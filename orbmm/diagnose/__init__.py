"""Diagnose a network on a structure: how far its energy and forces can be trusted there."""
