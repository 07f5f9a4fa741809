"""Serves gRPC: checks a request, executes it as a command, and returns the response or the refusal."""
