"""The speed of a force and of a step on this machine, and in comparison with the official implementation."""
