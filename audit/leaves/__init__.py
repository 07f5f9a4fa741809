"""Says what a leaf of the log is made of, and reads it from messages of the stream. Does no I/O."""
