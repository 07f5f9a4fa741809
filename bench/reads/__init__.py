"""How fast events become documents, and what a question costs beside Elasticsearch alone."""
