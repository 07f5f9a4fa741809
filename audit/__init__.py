"""Keeps a signed log of all events, from which nothing can be removed or changed without being noticed."""
