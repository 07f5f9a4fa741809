"""Rebuilds the read model: fills a new generation, verifies it, and lets it answer readers, without downtime."""
