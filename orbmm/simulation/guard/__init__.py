"""Stops a run that has gone wrong, loudly, before anything wrong is written, and keeps what helps to find out why."""
