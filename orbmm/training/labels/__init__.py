"""Labels by quantum chemistry or another network, and the choice of the frames that are worth one."""
