"""One module for each question: what it asks of the store and of freshness, and the answer it gives."""
