"""The local stack: real servers and all processes on this machine, and `tandem`, which runs and asks them."""
