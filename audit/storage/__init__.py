"""Keeps the log in Postgres: leaves, complete nodes of the tree, checkpoints, and how far the stream was read."""
