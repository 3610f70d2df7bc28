"""The network as a force of OpenMM; this room imports both torch and OpenMM and converts between their units."""
