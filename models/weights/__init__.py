"""Untrusted checkpoints to NumPy arrays, and arrays into modules. Runs nothing from a file."""
