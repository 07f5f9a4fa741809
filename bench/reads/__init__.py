"""Measures how fast events become documents, and what a query costs compared with Elasticsearch alone."""
