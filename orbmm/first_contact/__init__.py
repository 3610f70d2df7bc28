"""Compare a GPU with the CPU before the first step, once for each model, precision, card and version."""
