"""Measures how far the stream lags behind the outbox, for leaders and standbys alike.

The lag is the age of the oldest committed event that the stream's last cursor does not cover.
"""
