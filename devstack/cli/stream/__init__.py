"""`tandem outbox`, `tandem events` and `tandem projection`: what is on its way, read from the outbox and the stream."""
