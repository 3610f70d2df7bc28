"""Small molecules that are kept: their bonds and hydrogens from a template, their coordinates as given or modelled."""
