"""Implements the read store on Elasticsearch, a database separate from the write side's.

Projectors write its documents from the events of the stream. Look-ups by id see every acknowledged write. Searches see
a write after the next refresh. The store needs no scripts, plug-ins or analysers of its own in Elasticsearch.
"""
