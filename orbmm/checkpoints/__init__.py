"""Which models there are, where their weights lie, and whether a weights file holds what it should."""
