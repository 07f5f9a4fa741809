"""Holds `tandem outbox`, `tandem events` and `tandem projection`: shows what is in outbox and stream."""
