"""One module for each question: how it waits for freshness, what it reads from the store, and its answer."""
