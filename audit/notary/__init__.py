"""Writes the log: reads the stream in order, appends a leaf for each event, signs checkpoints, and tells the witness.

The protocol, in the order of its steps:

1. One notary leads: it holds an advisory lock on the session that also writes. Others stand by.
2. It reads the stream from the message after its position, by a consumer that lasts as long as the session. Leaves,
   nodes and the new position are one transaction, so a notary that is killed continues with the same tree.
3. An event that the log has already, as after a refill of the stream, gets no second leaf.
4. Before it signs, it proves from its tables that the tree begins with that of the last signed checkpoint.
5. The witness gets each newest checkpoint with a proof, and then the hashes of the new leaves.
"""
