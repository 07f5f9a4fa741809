"""A witness: remembers the newest checkpoint of a log and signs a newer one only if it continues that one.

It keeps everything in a directory of its own. So whoever controls the log's database cannot show one history to some
and another to others, nor take back what was signed, without the witness noticing.
"""
