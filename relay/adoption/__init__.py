"""Resumes publishing from a database that was restored or promoted, when an operator runs `adopt`.

The adoption compares the rows of the database with the stream by event id. It publishes the events that the stream
lacks under a new source epoch, and records the events that the database has lost.
"""
