"""Stores documents in Elasticsearch, fed by events through the stream: the physical level.

It uses only what every Elasticsearch can do: no scripts, no plug-ins, no analysers of our own. Look-ups by id are
answered in real time; searches see a write only after a refresh.
"""
