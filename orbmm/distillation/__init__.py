"""A fast student of a slow teacher, on the user's own system."""
