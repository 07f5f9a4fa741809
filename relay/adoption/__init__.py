"""Resumes with a database that was restored or promoted, when an operator says so.

The rows that the database still has are compared with the stream by event id. What the stream lacks is published under
a new source epoch; what the database has lost is recorded.
"""
