"""Labelled frames: from the files that people have to batches of graphs."""
