"""Serves queries: checks a request, calls the use case, and encodes the answer or the error."""
