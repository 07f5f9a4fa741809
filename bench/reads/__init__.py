"""Measures how fast events become documents, and what a query costs beside Elasticsearch alone."""
