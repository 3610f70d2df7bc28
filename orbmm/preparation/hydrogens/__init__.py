"""Add hydrogens, by pH and by the metals of the structure."""
