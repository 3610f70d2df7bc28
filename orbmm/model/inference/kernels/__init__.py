"""The steps of a layer that can be one GPU kernel, each in Triton and in plain PyTorch."""
