"""Many replicas of one run, by seed and over settings, on the workers of Dask."""
