"""Build the periodic box: water, ions, and a relaxation with a classical force field."""
