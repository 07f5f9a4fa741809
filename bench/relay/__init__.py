"""How fast the relay is, beside a peer and beside what the path allows anyone."""
