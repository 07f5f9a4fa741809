"""Serves gRPC: request → rules → command → response or refusal, and nothing else."""
