"""The network that a training starts from, and frames of the domain that it knows."""
