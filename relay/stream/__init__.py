"""The relay's side of JetStream: publishing with fences, and reading back what the stream holds.

A session reads the stream's last message and publishes after it. Every message names the sequence that it expects, so
the stream refuses all of them once somebody else has written. The first error closes the session (`SessionClosed`);
the next one reads the stream's end anew.
"""
