"""The catalogue of models, the location of their weights, and the checks of a weights file."""
