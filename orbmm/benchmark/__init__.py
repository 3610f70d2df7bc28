"""How fast a force and a step are on this machine, and beside the official implementation."""
