"""The network for molecular dynamics: the same function as model.network, with fewer operations and less memory."""
