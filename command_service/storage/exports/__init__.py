"""Reads exports from the database, over a small pool of connections of their own."""
