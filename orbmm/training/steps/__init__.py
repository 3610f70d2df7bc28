"""The steps of a training: losses, optimizer, saved state, and the loop over them."""
