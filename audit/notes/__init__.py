"""Encodes and verifies signed notes and checkpoints, in the public formats of transparency logs. Does no I/O.

The formats are those of C2SP: signed-note, tlog-checkpoint and tlog-cosignature (Ed25519). Other tools read them.
"""
