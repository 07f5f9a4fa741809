"""The read store of the physical level: documents in Elasticsearch, fed by events through the stream.

It uses no scripts, no plug-ins and no analysers of its own, so any Elasticsearch will do. Look-ups by id see every
acknowledged write. Searches see a write after the next refresh.
"""
