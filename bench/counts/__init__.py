"""Counts what commands, events, projections and queries cost, in units that no machine and no load can change."""
