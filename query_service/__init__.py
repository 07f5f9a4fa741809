"""Implements the read side: projects the stream into a read model, and answers questions from the read model."""
