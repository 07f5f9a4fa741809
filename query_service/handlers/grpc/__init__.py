"""Serves the contract over gRPC: checks a request, calls the use case, and encodes the answer or the error."""
