"""Read what is analysed: run folders, trajectories, structures."""
