"""Holds the local stack: real servers and all processes on this machine, and `tandem`, which runs and queries them."""
