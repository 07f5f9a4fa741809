"""What the read side asks of its store, and what may go wrong: the ports that each level of storage implements."""
