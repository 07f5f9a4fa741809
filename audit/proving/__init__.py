"""Proves that events are in the log, and checks proofs, notes and the journal against each other."""
