"""The network for molecular dynamics: the same function as in model.network, with fewer operations and less memory."""
