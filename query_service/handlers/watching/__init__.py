"""Reads the stream for watchers, without a consumer that lasts."""
