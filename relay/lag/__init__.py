"""How far the stream lags behind the outbox, measured by leaders and standbys alike.

The lag is the age of the oldest committed event that the stream's last cursor does not cover.
"""
