"""Complete chains: missing atoms and residues, chirality."""
