"""The network as a force of OpenMM: the only working room that knows both torch and OpenMM."""
