"""Code that a test runs before `adopt` in its process: it counts, interrupts, or is a mutant."""

from __future__ import annotations

#: Prints, when the process ends, how often it took the leader's lock. A lock that was lost, as on a slow machine, does
#: not count. For such machines the acks get more time, and the stream is not checked again for another relay's work.
COUNTED = """
import atexit, sys, relay.adoption.adoption as adoption, relay.publishing.session as session
import relay.outbox.leadership as leadership, relay.publishing.loop as loop
session.STOP_SECONDS, adoption._LOOK_AGAIN_SECONDS = 100, 3_600
taken, taking, failing = [], leadership.HeldLock.__init__, loop.PublishLoop._failed
def counting(lock, *arguments):
    taken.append(1)
    taking(lock, *arguments)
def losing(loop_of, state, kind, cause):
    if isinstance(cause, loop.LeadershipLost) and taken:
        taken.pop()
    return failing(loop_of, state, kind, cause)
leadership.HeldLock.__init__, loop.PublishLoop._failed = counting, losing
atexit.register(lambda: print(f"leaderships: {len(taken)}", file=sys.stderr))
"""
#: Ctrl-C as soon as the last row is read, before the last message is acknowledged.
INTERRUPTED = """
import os, signal, relay.adoption.adoption as interrupted
read_to_the_end = interrupted.Adoption._read_to_the_end
def interrupting(adoption, end):
    read_to_the_end(adoption, end)
    os.kill(os.getpid(), signal.SIGINT)
interrupted.Adoption._read_to_the_end = interrupting
"""
BY_THE_DISPLAY = """
import relay.adoption.adoption as mutant
mutant.Adoption._is_through = lambda adoption, ended: adoption._loop.status.cursor == adoption._end
"""
