"""The few steps of a layer that a GPU does better in one kernel, each with its twin in plain PyTorch."""
