"""The physical level: documents in Elasticsearch, fed by events through the stream.

Only what every Elasticsearch can do is used: no scripts, no plug-ins, no analysers of our own. All reads of this port
are look-ups by id, which Elasticsearch answers in real time; searches, which see a write only after a refresh, come on
top of them.
"""
